"""`eke runway`, with and without `--levers`: tables, what scripts read, and one clear error for bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.plan.scenarios import over_a_year
from typer.testing import CliRunner

from eke.cli.runway import runway
from eke.errors import InputError

GROWING = over_a_year(12.0)
FEW = ("--samples", "20")
DAY = (int, float, type(None))

app = typer.Typer()
app.command()(runway)


def run(*words: str) -> str:
    """What it prints."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output or result.exception
    return result.stdout


def wrong(*words: str) -> InputError:
    """The one error it ends with: bad input, with what to try instead."""
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, InputError), result.output
    assert result.exception.exit_code == 64
    assert result.exception.what
    assert result.exception.remedy or "must be" in result.exception.what
    assert result.stdout == ""
    return result.exception


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A growing scenario as a file."""
    path = tmp_path_factory.mktemp("runway") / "growing.yaml"
    path.write_text(GROWING)
    return str(path)


@pytest.fixture(scope="module")
def document(file: str) -> dict[str, Any]:
    """Its runway, for scripts."""
    return dict(json.loads(run(file, *FEW, "-o", "json")))


@pytest.fixture(scope="module")
def levers(file: str) -> dict[str, Any]:
    """What would lengthen it, for scripts."""
    return dict(json.loads(run(file, "--levers", "--samples", "8", "--kind", "Ascend-910C", "-o", "json")))


def test_the_table_and_the_chart(file: str, tmp_path: Path) -> None:
    """Generations with dates, until when the stock suffices, what binds, what is assumed; and a picture beside it."""
    picture = tmp_path / "runway.png"
    shown = run(file, *FEW, "--chart", str(picture))
    for words in ("Generations", "p10–p90", "How long the stock suffices", "what binds is", "First to run out",
                  "beside it", "20 futures, seed 0", "basis"):  # fmt: skip
        assert words in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert CliRunner().invoke(app, [file, *FEW, "-o", "svg"]).stdout.lstrip().startswith("<svg")


def test_keys_and_types_that_scripts_read(document: dict[str, Any]) -> None:
    """`eke.runway/1` as it is documented; every date with p10, p50 and p90, null beyond the horizon."""
    assert document["format"] == "eke.runway/1"
    for g in document["generations"]:
        assert isinstance(g["name"], str)
        assert isinstance(g["binds"], str)
        assert 0 <= g["chance"] <= 1
        assert all(isinstance(n, float) for n in g["pools"].values())
        assert set(g["pools"]) <= {"h800", "l20"}
        assert g["basis"] in ("measured", "modelled", "guessed", "")
        for dates in (g["start_days"], g["end_days"]):
            assert set(dates) == {"p10", "p50", "p90"}
            assert all(isinstance(d, DAY) and (d is None or 0 <= d <= 366) for d in dates.values())
    until = document["suffices_until"]
    for use in ("serving", "training"):
        assert set(until[f"{use}_days"]) == {"p10", "p50", "p90"}
        assert until["basis"][use] in ("measured", "modelled", "guessed")
    assert isinstance(document["first_to_run_out"], str)
    assert abs(document["today"]["difference"]) < 0.1
    for s in document["failures"]:
        for name, day in s["end_days"].items():
            low, high = s["interval_days"][name]
            assert day is None or (low is not None and low <= day)
            assert high is None or (day is not None and day <= high)


def test_beyond_the_horizon_is_null(document: dict[str, Any]) -> None:
    """The last generation is not done within the year: null, no made-up date, and a chance that says so."""
    last = document["generations"][-1]
    assert last["chance"] < 0.05
    assert last["end_days"]["p50"] is None
    assert last["end_days"]["p90"] is None


def test_rows_for_csv(file: str, document: dict[str, Any]) -> None:
    """A row a generation."""
    rows = list(csv.DictReader(io.StringIO(run(file, *FEW, "-o", "csv"))))
    assert [r["name"] for r in rows] == [g["name"] for g in document["generations"]]
    assert rows[-1]["end_p50"] == ""


def test_levers_are_ranked(levers: dict[str, Any]) -> None:
    """Most first; every one with its interval, basis and kind; chips nobody owns among them; what replaces what."""
    assert levers["format"] == "eke.runway-levers/1"
    gains = [x["generations"] for x in levers["levers"]]
    assert gains == sorted(gains, reverse=True)
    for x in (*levers["levers"], *levers["in_use"]):
        assert x["kind"] in ("software", "work", "chips", "dates", "growth", "in use")
        assert x["p10"] <= x["p90"]
        assert x["basis"] in ("measured", "modelled", "guessed")
        assert all(isinstance(d, DAY) for d in (*x["end_days"], *x["end_interval"]))
    names = [x["name"] for x in levers["levers"]]
    assert "512 Ascend-910C in month 6" in names
    assert "512 H800-SXM in month 6" in names
    more = next(x for x in levers["levers"] if x["name"] == "512 H800-SXM in month 6")
    assert more["generations"] > 0
    pairs = {(r["export"], r["domestic"]) for r in levers["replacement"]}
    assert ("H800-SXM", "Ascend-910C") in pairs
    for r in levers["replacement"]:
        for ratio in (*r["training"].values(), *r["serving"].values()):
            assert ratio is None or ratio[1] <= ratio[0] <= ratio[2]


def test_levers_have_no_chart(file: str, tmp_path: Path) -> None:
    """Said before a minute's work."""
    assert "no chart" in wrong(file, "--levers", "-o", "png").what
    assert "no chart" in wrong(file, "--levers", "--chart", str(tmp_path / "levers.png")).what


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--samples", "0"), "samples"),
        (("--samples", "1000000"), "samples"),
        (("--seed", "-1"), "seed"),
        (("--horizon", "0 mo"), "horizon"),
        (("--horizon", "100 y"), "horizon"),
        (("--horizon", "soon"), "horizon"),
        (("--levers", "--chips", "0"), "chips"),
        (("--levers", "--kind", "H900"), "H900"),
        (("--chart", "runway.gif"), "runway.gif"),
    ],
)
def test_impossible_options_are_one_error(file: str, words: tuple[str, ...], said: str) -> None:
    """What is wrong, and what would do."""
    assert said in wrong(file, *words).what


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("compute_growth: 12.0", "compute_growth: 0", "compute_growth"),
        ("serving_growth: 5%/mo", "serving_growth: 5000%/mo", "serving_growth"),
        ("horizon: 12 mo", "horizon: 0 mo", "horizon"),
        ("chance: 50%", "chance: 150%", "chance"),
        ("nodes: 8,", "nodes: -8,", "nodes"),
    ],
)
def test_impossible_scenarios_are_one_error(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Growth, horizons, chances, fleets."""
    path = tmp_path / "wrong.yaml"
    path.write_text(GROWING.replace(old, new))
    assert said in wrong(str(path)).what


def test_an_empty_fleet_is_one_error(tmp_path: Path) -> None:
    """No nodes, and none that may come."""
    path = tmp_path / "empty.yaml"
    path.write_text(GROWING.replace("nodes: 8,", "nodes: 0,").replace("nodes: 6,", "nodes: 0,").replace("50%", "0"))
    assert "no nodes" in wrong(str(path)).what
