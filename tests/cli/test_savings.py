"""`eke savings`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from eke.cli.savings import savings
from eke.errors import InputError

app = typer.Typer()
app.command()(savings)


def test_the_table_and_the_chart(scenario: str, tmp_path: Path) -> None:
    """Waterfall, worth by kind of chip, and why some are not used; the picture is one."""
    picture = tmp_path / "waterfall.png"
    result = CliRunner().invoke(app, [scenario, "--chart", str(picture)])
    assert result.exit_code == 0, result.output
    for word in (
        "without them",
        "with them",
        "h800",
        "fair share",
        "continuous-batching",
        "demand is the same all day",
    ):
        assert word in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_scripts_get_data(scenario: str) -> None:
    """JSON has the keys that scripts read, of the types they expect, each number in its interval."""
    document = json.loads(CliRunner().invoke(app, [scenario, "-o", "json"]).stdout)
    assert document["format"] == "eke.savings/1"
    assert document["interval"]["bare"][0] <= document["bare"] <= document["interval"]["bare"][1]
    for row in document["optimisations"]:
        assert {"name", "used", "chips_saved", "alone", "fair_share", "reason", "basis", "interval"} <= row.keys()
        assert isinstance(row["used"], bool)
        assert row["used"] or (isinstance(row["reason"], str) and row["chips_saved"] == {})
        for pool, chips in row["chips_saved"].items():
            assert pool in ("h800", "l20")
            assert chips is None or row["interval"]["chips_saved"][pool][0] - 1e-9 <= chips
        for name in ("stock_saved", "alone", "fair_share"):
            if row[name] is not None:
                low, high = row["interval"][name]
                assert low - 1e-9 <= row[name] <= high + 1e-9


def test_rows_for_csv(scenario: str) -> None:
    """A row an optimisation, each number with the ends of its interval."""
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, [scenario, "-o", "csv"]).stdout)))
    assert {"name", "basis", "fair_share", "fair_share_low", "fair_share_high", "saved_h800_low"} <= rows[0].keys()


@pytest.mark.parametrize(("words", "said"), [(("--chart", "bars.gif"), "bars.gif"), (("-o", "png"), "")])
def test_pictures(scenario: str, words: tuple[str, ...], said: str) -> None:
    """A file no picture ends in is refused before the work; -o png is the picture itself."""
    result = CliRunner().invoke(app, [scenario, *words])
    if said:
        assert isinstance(result.exception, InputError)
        assert said in result.exception.what
    else:
        assert result.stdout_bytes.startswith(b"\x89PNG")
