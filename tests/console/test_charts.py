"""Charts drawn here."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from eke.console import charts

VALUES = st.floats(0, 1e15, allow_nan=False)


@given(st.lists(st.tuples(st.floats(0, 1e12), st.floats(-1e6, 1e6)), max_size=50))
def test_curves_stay_inside(points: list[tuple[float, float]]) -> None:
    """Whatever the values, a chart is well-formed and every point lies within its frame."""
    svg = charts.line([charts.Curve("loss", "train-0", points)], "loss")
    if not svg:
        assert len(points) < 2
        return
    for circle in ET.fromstring(svg).iter("circle"):
        assert -0.1 <= float(circle.attrib["cx"]) <= charts.WIDTH + 0.1
        assert -0.1 <= float(circle.attrib["cy"]) <= charts.HEIGHT + 0.1


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30))
def test_piles_are_as_high_as_their_sum(rows: list[tuple[float, float]]) -> None:
    """Bars of a pile stand on each other and end below the top."""
    top = max(a + b for a, b in rows)
    series = [charts.Series("a", "serve-0", [a for a, _ in rows]), charts.Series("b", "serve-1", [b for _, b in rows])]
    svg = charts.stack(series, [str(i) for i in range(len(rows))], top, "piles")
    if top == 0:
        assert not svg
        return
    assert all(float(r.attrib["y"]) >= charts.TOP - 0.1 for r in ET.fromstring(svg).iter("rect"))


def test_names_are_escaped() -> None:
    """A name with markup in it stays text."""
    svg = charts.stack([charts.Series("<script>", "serve-0", [1.0])], ["&"], 1.0, '"><script>')
    assert "<script>" not in svg
    ET.fromstring(svg)


def test_says_what_it_shows() -> None:
    """A chart has words for those who do not see it."""
    assert 'aria-label="half of it"' in charts.strip([1.0, 0.0], 2.0, "serve-0", "half of it")
