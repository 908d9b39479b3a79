"""The stock as a question: the same program with its chips left open, in one relaxation that is asked again and again.

One more column for the whole stock and one for each pool: u[p] ≤ n_p m + e_p. With m = 1 and e = 0 it is the stock that
is owned. It knows nothing of why anybody asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eke.cost import FloatArray
from eke.plan import solve
from eke.plan.part import whole
from eke.plan.program import Program

GROWN = 2.0
"""Times a pool that gangs are asked about where chips may be added."""


class Open:
    """A program whose stock is open.

    Args:
        built: the program. primary: what is aimed at, by column. promises: workloads whose promise is kept.
        floor: least of what is aimed at that counts; default: whatever.
    """

    def __init__(self, built: Program, primary: FloatArray, promises: Sequence[str], floor: float = -np.inf) -> None:
        problem, base = built.problem, whole(built)
        n, m, pools = len(base.lower), len(base.row_lower), list(problem.units)
        k, owned = len(pools), np.array([float(problem.units[p]) for p in pools])
        aside, each = np.array([built.aside[p] for p in pools]), np.arange(k)
        earns = np.flatnonzero(primary) if np.isfinite(floor) else np.zeros(0, dtype=np.int64)
        # u[p] - n_p m - e_p ≤ 0, and, last, what is aimed at
        self._rows = replace(
            base,
            lower=np.append(base.lower, np.zeros(1 + k)), upper=np.append(base.upper, np.zeros(1 + k)),
            row_lower=np.concatenate([base.row_lower, np.full(k, -np.inf), [floor]]),
            row_upper=np.concatenate([base.row_upper, np.zeros(k), [np.inf]]),
            rows=np.concatenate([base.rows, *[m + each] * 3, np.full(len(earns), m + k)]),
            columns=np.concatenate([base.columns, aside, np.full(k, n), n + 1 + each, earns]),
            entries=np.concatenate([base.entries, np.ones(k), -owned, -np.ones(k), primary[earns]]),
        )  # fmt: skip
        self._most = solve.Relaxation(self._rows, np.append(primary, np.zeros(1 + len(pools))))
        self._names = pools
        self._chips = owned / np.array([problem.per_chip[p] for p in pools])
        per_unit = self._chips / np.maximum(owned, 1.0)
        objective = np.concatenate([np.zeros(n), [-self._chips.sum()], -per_unit])
        self._relaxation = solve.Relaxation(self._rows, objective)
        lower, upper = built.promised(promises)
        upper[aside] = np.inf
        upper[built.runs.at] = np.where(built.runs.gang, np.maximum(upper[built.runs.at], 1.0), np.inf)
        self._bounds = np.append(lower, np.zeros(1 + len(pools))), np.append(upper, np.zeros(1 + len(pools)))
        self._owned, self._n = owned, n

    def most(self, times: Mapping[str, float] | None = None) -> float | None:
        """What the stock reaches of what is aimed at, some pools `times` as large; None: promises break."""
        more = {}
        for pool, share in (times or {}).items():
            k = self._names.index(pool)
            more[k] = (self._owned[k] * (share - 1.0),) * 2
        return self._most.under(self._within((1.0, 1.0), more)).value

    def stock(self) -> float | None:
        """Chips needed of the stock's own mix."""
        return self._least((0.0, np.inf), {})

    def pool(self, name: str) -> float | None:
        """Chips needed of one pool beside all of the others."""
        k = self._names.index(name)
        least = self._least((1.0, 1.0), {k: (-self._owned[k], np.inf)})
        return None if least is None else least - float(self._chips.sum()) + float(self._chips[k])

    def _least(self, times: tuple[float, float], more: Mapping[int, tuple[float, float]]) -> float | None:
        value = self._relaxation.under(self._within(times, more)).value
        return None if value is None else -value

    def _within(self, times: tuple[float, float], more: Mapping[int, tuple[float, float]]) -> solve.Bounds:
        lower, upper = (bound.copy() for bound in self._bounds)
        lower[self._n], upper[self._n] = times
        for k, (low, high) in more.items():
            lower[self._n + 1 + k], upper[self._n + 1 + k] = low, high
        return lower, upper
