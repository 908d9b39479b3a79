"""Tables on pages of any width."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from eke.cli import output

ROWS = [
    {"workload": "meeting-summaries", "pool": "ascend", "requests/s": "0.203 (0.203–0.311)",
     "gives up, tokens/s": "2,464 (1,614–3,044)", "x least": "2.2 (1.5–3.3)", "basis": "50% modelled, 50% guessed"},
    {"workload": "chat", "pool": "h20", "requests/s": "13 (13–19.9)", "gives up, tokens/s": "65.5 (47.4–81.7)",
     "x least": "1", "basis": "modelled"},
]  # fmt: skip


def printed(width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    page = Console(width=width, highlight=False)
    monkeypatch.setattr(output, "page", page)
    with page.capture() as got:
        page.print(output.rows_table(ROWS))
        output.footnotes("A note.")
    return got.get()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_number_is_cut_in_two(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80, 100 and 140 columns every number stands whole, nothing runs over, and each row has its basis."""
    text = printed(width, monkeypatch)
    assert all(len(line) <= width for line in text.splitlines())
    for row in ROWS:
        for key, cell in row.items():
            if key != "basis":
                assert all(word in text for word in cell.split(" ")), cell
    shown = "~" if width < output.NARROW else "modelled"
    assert text.count(shown) >= 2
    assert ("Basis in a letter" in text) == (width < output.NARROW)


@given(width=st.integers(60, 200), cells=st.lists(st.text("abc 12.,–()", max_size=40), min_size=1, max_size=6))
def test_what_must_wrap_wraps_between_words(width: int, cells: list[str]) -> None:
    """Columns take no more than the page, and none is narrower than its longest word where there is room for all."""
    old, output.page = output.page, Console(width=width)
    try:
        gap, widths = output._widths([str(i) for i in range(len(cells))], [cells], [False] * len(cells))
    finally:
        output.page = old
    if None not in widths:
        assert sum(w for w in widths if w) + gap * (len(cells) - 1) <= width
        for cell, w in zip(cells, widths, strict=True):
            assert w is not None
            assert w >= max(map(len, re.split(" ", cell)))
