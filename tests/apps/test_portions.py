"""Portions that fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eke.apps.portions import pack


@given(st.lists(st.integers(0, 500), max_size=60), st.integers(1, 600))
def test_nothing_lost_nothing_cut(sizes: list[int], budget: int) -> None:
    """Every piece is in exactly one portion, in order; a portion of several pieces keeps to the budget."""
    runs = pack(sizes, budget)
    assert [i for run in runs for i in run] == list(range(len(sizes)))
    for run in runs:
        assert len(run) == 1 or sum(sizes[i] for i in run) <= budget


def test_about_equally_full() -> None:
    """Seven pieces of ten into a budget of fifty are four and three, not five and two."""
    assert [len(run) for run in pack([10] * 7, 50)] == [4, 3]
