"""A bill: seconds by operator, summed over the layers as they are priced, with the term that made each."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eke.cost.tables import FloatArray, Times

Term = NDArray[np.floating[Any]] | float


class Priced(Protocol):
    """What operators are put on."""

    def add(
        self, operator: str, /, compute: Term = 0.0, memory: Term = 0.0, link: Term = 0.0, overhead: Term = 0.0
    ) -> None:
        """Put one operator's four terms (seconds, [n] or a number) on it."""

    def seconds_of(self) -> FloatArray:
        """Seconds on it so far. [n]"""


class Total:
    """Adds up operators and keeps the sum alone, of any shape: what a search over many recipes asks for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._seconds = np.zeros(shape)

    def add(
        self, _operator: str, compute: Term = 0.0, memory: Term = 0.0, link: Term = 0.0, overhead: Term = 0.0
    ) -> None:
        """As `Bill.add`."""
        self._seconds += compute if isinstance(memory, float) and memory == 0.0 else np.maximum(compute, memory)
        for term in (link, overhead):
            if not (isinstance(term, float) and term == 0.0):
                self._seconds += term

    def seconds_of(self) -> FloatArray:
        """Seconds so far."""
        return self._seconds


class Bill:
    """Adds up operators for n rows.

    An operator takes `max(compute, memory) + link + overhead`; its bound is the largest of the four sums.
    """

    def __init__(self, n: int, operators: tuple[str, ...]) -> None:
        self._index = {name: i for i, name in enumerate(operators)}
        self._seconds = np.zeros((len(operators), n))
        self._terms = np.zeros((4, len(operators), n))

    def add(
        self, operator: str, compute: Term = 0.0, memory: Term = 0.0, link: Term = 0.0, overhead: Term = 0.0
    ) -> None:
        """Put one operator's four terms (seconds, [n] or a number) on the bill."""
        i = self._index[operator]
        self._seconds[i] += np.maximum(compute, memory) + link + overhead
        for total, term in zip(self._terms[:, i], (compute, memory, link, overhead), strict=True):
            if not (isinstance(term, float) and term == 0.0):
                total += term

    def scale(self, operator: str, factor: Term) -> None:
        """Take what is on the bill for `operator` so far `factor` times."""
        i = self._index[operator]
        self._seconds[i] *= factor
        self._terms[:, i] *= factor

    def seconds_of(self) -> FloatArray:
        """Seconds on the bill so far. [n]"""
        total: FloatArray = self._seconds.sum(axis=0)
        return total

    def times(self) -> Times:
        """The finished bill."""
        bound = self._terms.argmax(axis=0).astype(np.int64)
        return Times(self._seconds.sum(axis=0), tuple(self._index), self._seconds, bound)
