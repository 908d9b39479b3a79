"""`eke plan`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import typer
import yaml
from rich.console import Console
from tests.plan.scenarios import SMALL, TOO_MUCH
from typer.testing import CliRunner

from eke.cli import output
from eke.cli.plan import plan
from eke.errors import InputError
from eke.plan import read

app = typer.Typer()
app.command()(plan)


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    """The small scenario as a file."""
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return str(file)


def test_the_table_says_who_does_what(scenario: str) -> None:
    """Pools, promises, recipes, the objective with its bound and gap, and prices are on the page."""
    result = CliRunner().invoke(app, [scenario])
    assert result.exit_code == 0, result.output
    for word in ("h800", "l20", "chat", "next", "clean", "any plan on this stock", "gap", "price", "TTFT", "basis"):
        assert word in result.stdout


def test_scripts_get_data(scenario: str, tmp_path: Path) -> None:
    """JSON and YAML are the plan file, CSV is one row a placement, and --save writes what is printed."""
    file = tmp_path / "plan.json"
    as_json = json.loads(CliRunner().invoke(app, [scenario, "-o", "json", "--save", str(file)]).stdout)
    as_yaml = yaml.safe_load(CliRunner().invoke(app, [scenario, "-o", "yaml"]).stdout)
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, [scenario, "-o", "csv"]).stdout)))
    assert read(file).to_dict() == as_json
    assert as_yaml["format"] == as_json["format"] == "eke.plan/1"
    assert len(rows) == len(as_json["placements"])
    assert {"workload", "pool", "chips", "tp", "requests_per_s"} <= rows[0].keys()


def test_infeasible_is_exit_2_with_reasons(tmp_path: Path) -> None:
    """Exit 2; the demand and what would make it hold are said; with --best-effort there are placements as well."""
    file = tmp_path / "too-much.yaml"
    file.write_text(TOO_MUCH)
    result = CliRunner().invoke(app, [str(file)])
    assert result.exit_code == 2
    assert "this would do" in result.stdout
    assert "more H800-SXM nodes" in result.stdout
    assert "--best-effort plans what can be reached" in result.stdout
    result = CliRunner().invoke(app, [str(file), "--best-effort", "-o", "json"])
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["placements"]
    assert not document["feasible"]


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    """No scenario: an InputError (exit 64) that names it."""
    result = CliRunner().invoke(app, [str(tmp_path / "gone.yaml")])
    assert isinstance(result.exception, InputError)


def test_what_would_change_is_exit_2(scenario: str, tmp_path: Path) -> None:
    """--diff against its own plan: nothing, exit 0; against another: rows and exit 2; held parts stay."""
    old, more = tmp_path / "plan.json", tmp_path / "more.yaml"
    CliRunner().invoke(app, [scenario, "--save", str(old)])
    same = CliRunner().invoke(app, [scenario, "--diff", str(old)])
    assert (same.exit_code, same.stdout.strip()) == (0, "- Nothing would change.")
    more.write_text(SMALL.replace("rate: 40/s", "rate: 60/s"))
    held = ["--from", str(old), "--pin", "next", "-o", "json"]
    result = CliRunner().invoke(app, [str(more), "--diff", str(old), *held])
    document = json.loads(result.stdout)
    assert result.exit_code == 2
    assert document["format"] == "eke.diff/1"
    assert {c["workload"] for c in document["changes"]} >= {"chat"}
    assert all(c["workload"] != "next" for c in document["changes"])


def test_pins_need_a_plan(scenario: str) -> None:
    """--pin without --from is an input error."""
    result = CliRunner().invoke(app, [scenario, "--pin", "next"])
    assert isinstance(result.exception, InputError)


def test_a_plan_is_no_scenario(tmp_path: Path) -> None:
    """Planning a plan file says which verbs take one."""
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"format": "eke.plan/1"}))
    result = CliRunner().invoke(app, [str(file)])
    assert isinstance(result.exception, InputError)
    assert "is a plan" in str(result.exception)


def test_a_narrow_page_is_kept(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns no line is longer, but for the headline and what stands under the tables."""
    monkeypatch.setattr(output, "page", Console(highlight=False, width=80))
    monkeypatch.setattr("eke.cli.plan.page", output.page)
    lines = CliRunner().invoke(app, [scenario]).stdout.splitlines()
    assert max(len(line) for line in lines[1:-4]) <= 80
    assert "chat" in "".join(lines)
