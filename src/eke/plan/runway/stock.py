"""How chips, demand and speeds may turn out: seeded samples of the months ahead. It knows no program.

Every source of chance has random numbers of its own, named by what it is about. So the same chip dies in the same
sample whatever else changes, and two runs differ only by what was changed between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, log
from statistics import NormalDist
from zlib import crc32

import numpy as np

from eke.cost import FloatArray
from eke.fleet.pool import Fleet, Pool
from eke.plan.scenario import Generations
from eke.units import SECONDS

MONTH_S = SECONDS["mo"]
Z80 = NormalDist().inv_cdf(0.9)
"""An 80% interval reaches this many standard deviations to each side."""
GROWTH_SPREAD = 1.5
"""80% of futures grow between the stated growth divided by, and multiplied with, this. Assumed: nobody knows."""
MANY = 100.0
"""Mean losses of a month from which the binomial is taken as normal."""


@dataclass(frozen=True, slots=True)
class Futures:
    """Samples of what may come.

    Attributes:
        units: [samples, months, pools] that can be planned on at the start of each month.
        serving: [samples, months] requests as a multiple of today's, in the middle of each month.
        trains, serves: [samples, pools] speed as a multiple of what recipes promise.
        failing: [samples] failures as a multiple of what is expected, all months. restless: [samples, months] standard
            normal: more or fewer in one month.
    """

    units: FloatArray
    serving: FloatArray
    trains: FloatArray
    serves: FloatArray
    failing: FloatArray
    restless: FloatArray

    @property
    def months(self) -> int:
        """How many."""
        return int(self.units.shape[1])


def futures(
    fleet: Fleet,
    per_node: Mapping[str, int],
    moves: Generations,
    intervals: Mapping[tuple[str, bool], tuple[float, float]],
    *,
    samples: int,
    seed: int,
    failing: float,
) -> Futures:
    """Draw them.

    Args:
        fleet: the stock today.
        per_node: units of a node of each pool.
        moves: growth, attrition, arrivals, horizon.
        intervals: 80% interval of predicted seconds, by (chip, training).
        samples: how many.
        seed: the same one gives the same futures.
        failing: standard deviation of the logarithm of the failure rate.
    """
    months = max(1, ceil(moves.horizon_s / MONTH_S - 1e-9))
    draw = _Draw(seed, samples)
    lost = dict(moves.attrition_per_s)
    units = [
        _units(draw, pool, per_node[pool.name], lost.get(pool.name, lost.get("default", 0.0)), moves, months)
        for pool in fleet.pools
    ]
    middle = np.arange(months) + 0.5
    rate = moves.serving_growth_per_s * MONTH_S
    growth = rate * np.exp(log(GROWTH_SPREAD) / Z80 * draw.normal("serving growth"))
    return Futures(
        np.stack(units, axis=2),
        (1.0 + growth[:, None]) ** middle,
        _speeds(draw, fleet, intervals, training=True),
        _speeds(draw, fleet, intervals, training=False),
        np.exp(failing * draw.normal("failures")),
        draw.normals("failures by month", months),
    )


class _Draw:
    """Random numbers by name."""

    def __init__(self, seed: int, samples: int) -> None:
        self._seed, self._samples = seed, samples

    def _of(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, crc32(name.encode())])

    def normal(self, name: str) -> FloatArray:
        """Standard normal [samples]."""
        return self._of(name).standard_normal(self._samples)

    def normals(self, name: str, n: int) -> FloatArray:
        """Standard normal [samples, n]."""
        return self._of(name).standard_normal((self._samples, n))

    def uniforms(self, name: str, n: int) -> FloatArray:
        """Between 0 and 1 [samples, n]."""
        return self._of(name).random((self._samples, n))


def _speeds(
    draw: _Draw, fleet: Fleet, intervals: Mapping[tuple[str, bool], tuple[float, float]], *, training: bool
) -> FloatArray:
    """How much faster than planned each pool's chips turn out [samples, pools]: recipes stand on the slow side of the
    interval. One factor for each kind of chip and of work, for the whole run.
    """
    columns = []
    for pool in fleet.pools:
        low, high = intervals[pool.chip.name, training]
        spread = log(high / low) / (2 * Z80)
        z = draw.normal(f"{pool.chip.name} {'training' if training else 'serving'}")
        columns.append(high / np.exp((log(low) + log(high)) / 2 + spread * z))
    return np.stack(columns, axis=1)


def _units(draw: _Draw, pool: Pool, per_node: int, lost_per_s: float, moves: Generations, months: int) -> FloatArray:
    """Units of a pool by month [samples, months]: chips die one by one, arrivals join with their chance, and sound
    chips are put together again into whole nodes.
    """
    q = 1.0 - exp(-lost_per_s * MONTH_S)
    luck = draw.uniforms(f"{pool.name} losses", months)
    chips = np.full(len(luck), float(pool.chips))
    at = np.arange(months) * MONTH_S
    coming = [
        (int(np.searchsorted(at, a.at_s - 1e-6)), a.nodes * pool.chips_per_node * come)
        for i, a in enumerate(a for a in moves.arrivals if a.pool == pool.name)
        for come in [draw.uniforms(f"{pool.name} arrival {i}", 1)[:, 0] < a.chance]
    ]
    columns = []
    for m in range(months):
        if m:
            chips = chips - losses(chips, q, luck[:, m])
        chips = chips + sum((n for month, n in coming if month == m), np.zeros(len(chips)))
        nodes = np.floor(chips / pool.chips_per_node) - pool.reserved
        columns.append(np.floor(np.maximum(nodes, 0.0) * pool.available + 1e-9) * per_node)
    return np.stack(columns, axis=1)


def losses(n: FloatArray, q: float, luck: FloatArray) -> FloatArray:
    """How many of `n` are lost, each with probability `q`: the binomial's quantile at `luck`, so that more chips lose
    no fewer, and leave no fewer.
    """
    if q <= 0.0:
        return np.zeros_like(n)
    mean = n * q
    z = _normal_quantile(luck)
    normal = np.clip(np.round(mean + z * np.sqrt(mean * (1 - q))), 0.0, n)
    few = mean < MANY
    if not few.any():
        return normal
    count, chance = np.zeros_like(n), np.exp(n * log(1 - q)) if q < 1 else (n == 0).astype(float)
    below = chance.copy()
    for k in range(int(mean[few].max(initial=0.0) + 12 * np.sqrt(MANY)) + 12):
        more = few & (luck > below) & (count < n)
        if not more.any():
            break
        chance = chance * (n - k) / (k + 1) * (q / (1 - q)) if q < 1 else (n == k + 1).astype(float)
        count = np.where(more, k + 1, count)
        below = below + np.maximum(chance, 0.0)
    return np.where(few, np.minimum(count, n), normal)


def _normal_quantile(p: FloatArray) -> FloatArray:
    """Inverse of the normal distribution, after P. J. Acklam's rational approximation (relative error 1e-9)."""
    a = (-3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.383577518672690e2, -3.066479806614716e1,
         2.506628277459239)  # fmt: skip
    b = (
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    )
    c = (-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
         2.938163982698783)  # fmt: skip
    d = (7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    tail = np.minimum(p, 1 - p)
    r = np.sqrt(-2 * np.log(tail))
    far = np.polyval(c, r) / np.polyval(d, r)
    x = p - 0.5
    near = np.polyval(a, x * x) * x / np.polyval(b, x * x)
    z: FloatArray = np.where(tail < 0.02425, np.where(p < 0.5, far, -far), near)
    return z


def quantiles(days: Sequence[float] | FloatArray, horizon: float) -> dict[str, float | None]:
    """p10, p50 and p90 of dates in days; None beyond the horizon."""
    ordered = np.sort(np.asarray(days, dtype=float))
    found = {f"p{p}": float(ordered[min(len(ordered) - 1, floor(len(ordered) * p / 100))]) for p in (10, 50, 90)}
    return {k: round(v, 1) if v <= horizon + 1e-6 else None for k, v in found.items()}
