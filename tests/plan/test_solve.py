"""What cannot move is not asked about, and yet counts."""

from __future__ import annotations

import numpy as np
import pytest

from eke.cost import FloatArray
from eke.plan.solve import Found, Posed, search


def found(lower: list[float], upper: list[float]) -> Found:
    """Most of x + 2 y + 3 z, x + y ≤ 2.5, z ≤ 1.5, x and y whole."""
    none: FloatArray = np.zeros(3)
    posed = Posed(
        none, np.full(2, -np.inf), np.array([2.5, 1.5]), np.array([0, 0, 1]), np.array([0, 1, 2]), np.ones(3)
    )  # fmt: skip
    whole = np.array([True, True, False])
    bounds = np.array(lower, dtype=float), np.array(upper, dtype=float)
    return search(posed, np.array([1.0, 2.0, 3.0]), bounds, whole, seconds=1, gap=0.0)


@pytest.mark.parametrize(
    ("lower", "upper", "x"),
    [
        ([0, 0, 0], [9, 9, 9], [0, 2, 1.5]),
        ([1, 0, 0], [1, 9, 9], [1, 1, 1.5]),
        ([1, 0, 1], [1, 9, 1], [1, 1, 1]),
        ([1, 1, 1], [1, 1, 1], [1, 1, 1]),
    ],
)
def test_what_stands_takes_its_part(lower: list[float], upper: list[float], x: list[float]) -> None:
    """Columns that are held take their part of rows and objective, be it all of them."""
    got = found(lower, upper)
    assert got.x == pytest.approx(x)
    assert got.value == got.bound == pytest.approx(np.dot([1, 2, 3], x))


@pytest.mark.parametrize("held", [[3.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
def test_what_stands_may_break_a_row(held: list[float]) -> None:
    """A row that held columns break by themselves leaves no solution, whether others have a part in it or not."""
    got = found(held, [held[0] or 0.0, 9.0, held[2] or 0.0])
    assert got.x is None
    assert got.exhausted
