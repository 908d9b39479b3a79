"""`eke report`."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from tests.plan.scenarios import SMALL
from typer.testing import CliRunner

from eke.cli.report import report
from eke.plan import make, parse

pytest.importorskip("altair", reason="the extra `charts` is not installed")

app = typer.Typer()
app.command()(report)
QUICK = ("--without", "explain", "--without", "savings", "--without", "worth")


def test_a_plan_file_becomes_a_page_and_pictures(tmp_path: Path) -> None:
    """The page stands where it was asked for, whole, with its pictures."""
    plan = make(parse(SMALL)).write(tmp_path / "plan.json")
    page, pictures = tmp_path / "out.html", tmp_path / "pictures"
    result = CliRunner().invoke(app, [str(plan), "-o", str(page), "--png", str(pictures), *QUICK])
    assert result.exit_code == 0, result.output
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert {p.name for p in pictures.iterdir()} == {"day.png", "prices.png", "runway.png", "stock.png"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.html", "pictures", "plan.json"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """One clear error, and nothing half-written."""
    plan = make(parse(SMALL)).write(tmp_path / "plan.json")
    result = CliRunner().invoke(app, [str(plan), "-o", str(tmp_path / "none" / "out.html"), *QUICK])
    assert result.exit_code != 0
    assert "cannot be written" in str(result.exception)


def test_a_report_is_a_page(tmp_path: Path) -> None:
    """Another kind of file is refused before anything is planned, not written as one."""
    result = CliRunner().invoke(app, ["nowhere.json", "-o", str(tmp_path / "out.pdf")])
    assert "a report is an HTML page" in str(result.exception)
    assert not list(tmp_path.iterdir())
