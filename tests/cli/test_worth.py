"""`eke worth`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from eke.cli.worth import worth

app = typer.Typer()
app.command()(worth)
ASKED = ("--chips", "H800-SXM,L20,Ascend-910C", "--value", "900")


def test_the_table_and_the_chart(scenario: str, tmp_path: Path) -> None:
    """What to keep and to buy, with intervals and basis, and the curves as a picture."""
    picture = tmp_path / "curves.svg"
    result = CliRunner().invoke(app, [scenario, *ASKED, "--chart", str(picture)])
    assert result.exit_code == 0, result.output
    for words in ("To keep", "To buy", "Ascend-910C", "off above, a kWh", "basis", "In brackets", "–"):
        assert words in result.stdout
    assert "<svg" in picture.read_text()


def test_scripts_get_data(scenario: str) -> None:
    """JSON: offers and holdings with their intervals; CSV: a row a kind of chip with the ends of each."""
    document = json.loads(CliRunner().invoke(app, [scenario, *ASKED, "-o", "json"]).stdout)
    assert document["format"] == "eke.worth/1"
    assert document["interval"]["reached"][0] <= document["reached"] <= document["interval"]["reached"][1]
    for o in document["offers"]:
        assert o["basis"] in ("measured", "modelled", "guessed", None)
        assert not o["adds"] or len(o["interval"]["adds"]) == 2
    for h in document["holdings"]:
        assert len(h["curve"]) == len(h["interval"]["curve"])
        assert h["basis"] in ("measured", "modelled", "guessed")
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, [scenario, *ASKED, "-o", "csv"]).stdout)))
    assert {"chip", "adds", "adds_low", "adds_high", "replaces_low", "basis"} <= rows[0].keys()
