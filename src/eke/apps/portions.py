"""Pieces in order, packed into portions that fit a budget; a piece is never cut."""

from __future__ import annotations

from collections.abc import Sequence


def pack(sizes: Sequence[int], budget: int) -> list[range]:
    """The fewest runs of neighbours whose sizes sum to at most `budget`, about equally full.

    A piece larger than the budget stands alone; cutting it is for the caller, who knows where it may be cut.
    """
    if not sizes:
        return []
    runs = len(_greedy(sizes, budget))
    low, high = max(1, sum(sizes) // runs), budget
    while low < high:  # the smallest budget that still needs no more portions
        middle = (low + high) // 2
        low, high = (low, middle) if len(_greedy(sizes, middle)) <= runs else (middle + 1, high)
    return _greedy(sizes, high)


def _greedy(sizes: Sequence[int], budget: int) -> list[range]:
    runs, start, filled = [], 0, 0
    for i, size in enumerate(sizes):
        if i > start and filled + size > budget:
            runs.append(range(start, i))
            start, filled = i, 0
        filled += size
    return [*runs, range(start, len(sizes))]
