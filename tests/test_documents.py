"""The README and the pages made from the program say what is now true."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import eke
from eke.plan import parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_shown_plan_names_what_the_example_holds() -> None:
    """The output in the README is of the example as it stands: its pools, its workloads, a bound and a gap."""
    shown = README.split("<!-- plan:begin -->")[1].split("<!-- plan:end -->")[0]
    scenario = eke.load(ROOT / "examples" / "mixed-fleet.yaml")
    for name in (*(p.name for p in scenario.fleet.pools), *(w.name for w in scenario.workloads)):
        assert f"\n{name} " in shown
    assert "any plan on this stock" in shown


def test_the_scenario_in_the_readme_is_planned() -> None:
    """What a reader copies works."""
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    plan = parse(text).plan()
    assert plan.feasible
    assert plan.slots == 24


@pytest.mark.parametrize(
    "command", re.findall(r"`(eke (?:fleet chips|models list|models show|estimate)[^`]*)`", README)
)
def test_the_commands_of_the_readme_run(command: str) -> None:
    """Commands that only read are run as they are written."""
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    """Every link to a file of the repository is to a file that is there."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_command_line_page_is_what_help_says() -> None:
    """docs/cli.md is made by scripts/documents; after a change of options it is made again."""
    made = subprocess.run(
        [sys.executable, "-c", "import runpy; print(runpy.run_path('scripts/documents')['help_pages'](), end='')"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert made == (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), "run scripts/documents"


def test_the_public_names_are_those_listed() -> None:
    """`import eke` gives exactly what it declares."""
    assert set(eke.__all__) == {"__version__", "load"}
    assert all(hasattr(eke, name) for name in eke.__all__)
