"""`eke explain`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import typer
from tests.plan.scenarios import SMALL
from typer.testing import CliRunner

from eke.cli.explain import explain
from eke.plan import make, parse

app = typer.Typer()
app.command()(explain)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plan of the small scenario as a file."""
    return str(make(parse(SMALL)).write(tmp_path_factory.mktemp("plan") / "plan.json"))


def test_words_and_tables(file: str) -> None:
    """Sentences first, then what is given up and what binds."""
    result = CliRunner().invoke(app, [file, "--no-rules"])
    assert result.exit_code == 0, result.output
    for words in ("gives up", "What binds", "█", "chat", "l20", "basis", "In brackets", "–"):
        assert words in result.stdout


def test_scripts_get_data(file: str) -> None:
    """JSON has everything; CSV a row a workload and pool."""
    document = json.loads(CliRunner().invoke(app, [file, "chat", "-o", "json"]).stdout)
    assert document["format"] == "eke.explain/1"
    assert document["what"] == "chat"
    assert {o["pool"] for o in document["options"]} == {"h800", "l20"}
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, [file, "--no-rules", "-o", "csv"]).stdout)))
    assert {(r["workload"], r["pool"]) for r in rows} >= {("chat", "h800"), ("next", "l20")}
    assert {"rate_low", "rate_high", "gives_up_low", "gives_up_high", "basis"} <= rows[0].keys()


def test_a_chart_is_drawn(file: str) -> None:
    """-o png is a picture, -o html a page that says what it shows."""
    pytest.importorskip("altair", reason="the extra `charts` is not installed")
    assert CliRunner().invoke(app, [file, "--no-rules", "-o", "png"]).stdout_bytes.startswith(b"\x89PNG")
    assert "comparative advantage" in CliRunner().invoke(app, [file, "--no-rules", "-o", "html"]).stdout


def test_a_scenario_will_do(tmp_path: Path) -> None:
    """A scenario is planned first."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    assert "next" in CliRunner().invoke(app, [str(path), "next", "--no-rules"]).stdout
