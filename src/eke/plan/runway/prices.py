"""Prices found in some months, used to bound all months at once: an upper envelope, made tight where it matters.

Each set of prices bounds every month from above (`month.py`); the least of many bounds is as good as the programs
themselves once prices of nearby months are among them. The envelope never falls when chips are added, and never rises
when service grows. It knows arrays of months; not where they come from.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eke.cost import FloatArray
from eke.plan.runway.month import Prices

GRID = 65
"""Speeds at which what a gang that moves would pay is tabulated; between them it is interpolated, upwards."""
AT_ONCE = 4_000_000
"""Numbers held at a time."""


class Envelope:
    """Bounds of months, from all prices added so far.

    Args:
        weights: share of the day of each slot.
        totals: how many workloads are promised a total over the day.
    """

    def __init__(self, weights: FloatArray, totals: int) -> None:
        self._weights, self._totals = weights, totals
        self._prices: list[Prices] = []

    def add(self, prices: Prices) -> None:
        """One more set of prices."""
        self._prices.append(prices)

    def copy(self) -> Envelope:
        """One that may be added to without changing this one."""
        made = Envelope(self._weights, self._totals)
        made._prices = list(self._prices)
        return made

    def __len__(self) -> int:
        return len(self._prices)

    def most(self, chips: FloatArray, totals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Largest growth of serving that can be kept [n], and what each pool is worth to it [n, pools].

        Args:
            chips: [n, pools].
            totals: [n, totals].
        """
        growing = [p for p in self._prices if p.serving > 1e-12]
        if not growing:
            return np.full(len(chips), np.inf), np.zeros_like(chips)
        each = np.array([p.chips.sum(axis=1) / p.serving for p in growing])  # [k, pools]
        cost = np.array([p.totals / p.serving for p in growing]).reshape(len(growing), self._totals)
        bound = chips @ each.T - totals @ cost.T  # [n, k]
        best = np.argmin(bound, axis=1)
        return np.maximum(bound[np.arange(len(chips)), best], 0.0), chips * each[best]

    def value(
        self, chips: FloatArray, growth: FloatArray, totals: FloatArray, speed: FloatArray, moves: float
    ) -> FloatArray:
        """Most that is trained [samples, months].

        Args:
            chips: [samples, months, pools].
            growth: [samples, months].
            totals: [months, totals].
            speed: [samples, pools].
            moves: as in `Month.train`.
        """
        rho = np.array([p.chips for p in self._prices])  # [k, pools, slots]
        alpha = np.array([p.serving for p in self._prices])
        beta = np.array([p.totals for p in self._prices]).reshape(len(alpha), self._totals)
        fixed = beta @ totals.T  # [k, months]
        samples, months, _ = chips.shape
        pays = self._pays(rho, speed, moves)
        step = max(1, AT_ONCE // max(1, months * len(alpha)))
        out = np.empty((samples, months))
        for i in range(0, samples, step):
            part = slice(i, i + step)
            bound = pays(part) @ chips[part].transpose(0, 2, 1)  # [samples, k, months]
            bound -= alpha[:, None] * growth[part][:, None, :]
            bound -= fixed
            out[part] = bound.min(axis=1)
        return np.maximum(out, 0.0)

    def _pays(self, rho: FloatArray, speed: FloatArray, moves: float) -> Callable[[slice], FloatArray]:
        """What a unit of each pool is worth in a day [samples, k, pools]: to service, or to training where that is
        more.
        """
        if not moves:
            day = rho.sum(axis=2)
            return lambda part: np.maximum(day[None], speed[part][:, None, :])
        low = speed.min(axis=0)
        width = np.maximum(speed.max(axis=0) - low, 1e-12)
        steps = low[:, None] + width[:, None] * np.linspace(0.0, 1.0, GRID)  # [pools, grid]
        trains = (self._weights * moves)[None, :] * steps[:, :, None]  # [pools, grid, slots]
        tables = [
            np.maximum(rho[:, p, None, :], trains[p][None]).sum(axis=2) for p in range(len(low))
        ]  # [k, grid] of each pool
        place = (speed - low) / width * (GRID - 1)
        left = np.minimum(place.astype(np.int64), GRID - 2)
        share = place - left

        def pays(part: slice) -> FloatArray:
            found = [
                t[:, left[part, p]] * (1 - share[part, p]) + t[:, left[part, p] + 1] * share[part, p]
                for p, t in enumerate(tables)
            ]
            return np.stack(found, axis=2).transpose(1, 0, 2)

        return pays
