"""The whole report through the command line, every part of it, and its first page on one sheet of A4."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.test_runway import GROWING

pytestmark = pytest.mark.e2e
A4_PX = (184 / 25.4 * 96, 276 / 25.4 * 96)
"""Width and height inside the margins that style.css states."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small scenario that grows, with levers."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "growing.yaml").write_text(GROWING)
    done = subprocess.run(
        [sys.executable, "-m", "eke", "report", "growing.yaml", "--levers", "--png", "charts", "-o", "out.html"],
        cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "out.html"


def test_every_part_is_there(page: Path) -> None:
    """No part left out; the first page has all that a manager needs; each chart is a picture too."""
    text = page.read_text(encoding="utf-8")
    assert "is left out" not in text
    sections = set(re.findall(r'<(?:section|figure)[^>]* id="([^"]+)"', text))
    assert {
        "decision",
        "day",
        "prices",
        "savings",
        "runway",
        "pools",
        "promises",
        "recipes",
        "why",
        "software",
    } <= sections
    assert {"chips", "worth", "ahead", "stock", "levers", "known", "assumptions", "sources"} <= sections
    first = text.split('<section id="pools">')[0]
    for words in ("gap", "80% interval", "How good the numbers are", "Risks", "The decision", "modelled"):
        assert words in first
    drawn = {p.stem for p in (page.parent / "charts").iterdir()}
    assert {"day", "prices", "savings", "runway", "stock", "advantage", "worth"} <= drawn


def test_the_decision_fits_one_sheet(page: Path) -> None:
    """Printed on A4, the first section is no higher than the sheet, and nothing is wider; nor on a phone."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser to look with")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        sheet = browser.new_page(viewport={"width": round(A4_PX[0]), "height": round(A4_PX[1])})
        sheet.emulate_media(media="print")
        sheet.goto(page.as_uri())
        assert sheet.evaluate("document.querySelector('.first').getBoundingClientRect().height") <= A4_PX[1]
        assert sheet.evaluate("document.querySelector('.first').scrollWidth") <= A4_PX[0] + 1
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.goto(page.as_uri())
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
