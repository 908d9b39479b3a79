"""`eke savings`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from tests.plan.scenarios import SMALL
from typer.testing import CliRunner

from eke.cli.savings import savings

app = typer.Typer()
app.command()(savings)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small scenario as a file."""
    file = tmp_path_factory.mktemp("savings") / "small.yaml"
    file.write_text(SMALL.replace("slots: 4", "slots: 1").replace("office-day", "flat"))
    return str(file)


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
    """JSON has the keys that scripts read."""
    document = json.loads(CliRunner().invoke(app, [scenario, "-o", "json"]).stdout)
    assert document["format"] == "eke.savings/1"
    for row in document["optimisations"]:
        assert {"name", "used", "chips_saved", "alone", "fair_share", "reason"} <= row.keys()
