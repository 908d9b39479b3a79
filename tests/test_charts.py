"""How charts look and are written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eke import charts
from eke.errors import InputError

altair = pytest.importorskip("altair", reason="the extra `charts` is not installed")


def _bars() -> object:
    data = altair.Data(values=[{"pool": "a", "chips": 3}, {"pool": "b", "chips": 5}])
    return charts.styled(altair.Chart(data).mark_bar().encode(x="chips:Q", y="pool:N"), "Chips by pool", "in all")


def test_a_chart_needs_no_network_and_no_browser(tmp_path: Path) -> None:
    """HTML carries its scripts with it; PNG is a picture; SVG says the title."""
    page, picture, drawing = (charts.write(_bars(), tmp_path / f"bars{s}").read_bytes() for s in charts.SUFFIXES)
    assert b"Chips by pool" in page
    assert b'src="http' not in page
    assert picture.startswith(b"\x89PNG")
    assert b"Chips by pool" in drawing
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bars.html", "bars.png", "bars.svg"]


def test_other_endings_are_refused(tmp_path: Path) -> None:
    """An ending that is no picture is an input error, and nothing is written."""
    with pytest.raises(InputError, match="no picture"):
        charts.write(_bars(), tmp_path / "bars.gif")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_drawn_before_it_is_asked_for() -> None:
    """`import eke.charts` leaves Altair alone."""
    code = "import sys, eke.charts; sys.exit('altair' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
