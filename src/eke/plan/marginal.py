"""What a plan is worth at the margin: one more chip of each pool, a million more tokens of each workload, and how these
and the objective move with speeds.

Read from the relaxation in which gangs come in all sizes, each job's standing where it stands in the plan. It is solved
for the objective less what tells equal plans apart; prices are of the objective alone, at the same solution, so that
nothing in them is a matter of taste. Prices jump where another recipe becomes the next best, so all is asked once more
with every speed in the middle of its interval. It knows no placements and no words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from eke.cost import Basis, FloatArray, IntArray
from eke.plan import solve
from eke.plan.interval import SLIGHT, Estimate, Speed, Speeds, weakest
from eke.plan.part import Rows
from eke.plan.program import Program
from eke.plan.scenario import Batch, Serve, Workload
from eke.plan.slopes import Slopes, lacking

if TYPE_CHECKING:
    from eke.plan.planner import Aim

PRICES = {
    "train-progress": ("PFLOP/s of training per chip", "PFLOP of training per million tokens", 1.0),
    "fewest-chips": ("chips set aside per chip", "chip-days per million tokens", 86400.0),
    "least-energy": ("kW per chip", "kWh per million tokens", 24.0),
    "value": ("value a day per chip", "value per million tokens", 86400.0),
}
"""By objective: units of a pool's price and of a workload's, and the seconds in the objective's own unit of time."""
USED = 1e-6
"""Replicas from which a recipe counts as used."""
ROUNDED = 1e-9
"""What is this share of the objective, or of 1, is a solver's rounding."""


Stands = Mapping[str, tuple[frozenset[str], bool]]
"""Of jobs: the pools their gang stands in, and whether it changes size with the slots."""


class Marginal:
    """The relaxation of a program, its prices, and how they move with speeds.

    Attributes:
        reached: of the objective; None where promises break.
        combined: what columns lack of what was maximised, what tells equal plans apart included [columns].
    """

    def __init__(
        self, built: Program, aim: Aim, speeds: Speeds, bounds: solve.Bounds | None = None,
        given: IntArray | None = None,
    ) -> None:  # fmt: skip
        """Solve it.

        Args:
            built: the program.
            aim: what is maximised.
            speeds: how far they may lie from what is planned.
            bounds: of columns; default: all promises kept, gangs of all sizes.
            given: columns that the bounds hold to what somebody else chose, who takes fewer where they are faster,
                if that is enough.
        """
        self._built, self.reached = built, None
        bounds = bounds or built.promised(aim.promises, larger=True)
        given = np.zeros(0, dtype=np.int64) if given is None else given
        asked = solve.Relaxation(built, aim.combined)
        found = asked.under(bounds)
        self.combined = found.reduced
        if found.value is None:
            return
        self._slopes = Slopes(built, built)
        recipes = built.problem.recipes
        self._bases: dict[Speed, Basis] = {(r.pool, r.kind == "train"): r.basis for r in recipes}
        self._now = _Point(self._slopes, built, aim.primary, asked, found, given)
        times = np.array([speeds.middle(speed) for speed in self._slopes.speeds])
        rows, primary = self._slopes.faster(times, aim.primary)
        there = solve.Relaxation(rows, aim.combined - aim.primary + primary, asked)
        least = bounds[0].copy()
        least[given] /= times[self._slopes.of[given]]
        most = bounds[1].copy()
        for kept in built.reserves:  # faster nodes take more away with them
            most[np.concatenate(kept.shares)] = np.inf
        self._middle = _Point(self._slopes, rows, primary, there, there.under((least, most)), given)
        used = built.runs.recipe[found.x[built.runs.at] > USED]
        basis = weakest(*(recipes[i].basis for i in np.unique(used).tolist()))
        self.reached = self._estimate(self._now.reached(), self._middle.reached(), basis)

    def lacks(self, columns: IntArray, times: FloatArray) -> Estimate:
        """What so many more of these columns bring to the objective; nothing where they cost."""
        return self._estimate(self._now.lacks(columns, times), self._middle.lacks(columns, times))

    def pool(self, name: str) -> Estimate:
        """What one more chip of a pool adds."""
        if self.reached is None:
            return Estimate(0.0)
        per_chip = float(self._built.problem.per_chip[name])
        return self.lacks(np.array([self._built.aside[name]]), np.array([per_chip]))

    def workload(self, w: Workload) -> Estimate:
        """What a million more tokens of a workload cost: output tokens of serve, all tokens of train and batch.

        Rows' prices say what the objective loses when all its demand grows by one; divided by the tokens of a day.
        """
        tokens = _tokens(self._built, w)
        if self.reached is None or tokens <= 0:
            return Estimate(0.0)
        rows, sides = self._built.scaled[w.name]
        lost = self._estimate(self._now.loses(rows, sides), self._middle.loses(rows, sides))
        return lost * (1e6 / tokens / PRICES[self._built.problem.goal][2])

    def _estimate(
        self, now: tuple[float, FloatArray], middle: tuple[float, FloatArray], basis: Basis | None = None
    ) -> Estimate:
        """A price rests on the speeds that move it, and on no other; default for `basis`: the least known of them."""
        (value, at), (there, slope) = self._real(*now), self._real(*middle)
        moves = self._slopes.by_speed(slope)
        known = basis or weakest(*(self._bases.get(speed) for speed in {**self._slopes.by_speed(at), **moves}))
        return Estimate(value, moves, known, there) if value or there else Estimate(0.0)

    def _real(self, value: float, slope: FloatArray) -> tuple[float, FloatArray]:
        """A number and its slopes [speeds] without a solver's rounding."""
        if abs(value) <= ROUNDED * max(1.0, abs(self._now.reached()[0])):
            return 0.0, np.zeros_like(slope)
        return value, np.where(np.abs(slope) > SLIGHT * max(abs(value), np.abs(slope).max()), slope, 0.0)


class _Point:
    """A solution of the relaxation at some speeds; numbers with their slopes there [speeds]."""

    def __init__(
        self, slopes: Slopes, rows: Rows, primary: FloatArray, asked: solve.Relaxation, found: solve.Relaxed,
        given: IntArray,
    ) -> None:  # fmt: skip
        self._rows, self._primary, self._x = rows, primary, found.x
        self._prices = asked.prices(primary)
        self._lacks = lacking(rows, primary, self._prices)
        self._moved = slopes.moved(self._prices, primary, rows.entries)
        self._prices_moved = np.array([asked.prices(r) for r in self._moved])  # [speeds, rows]
        self._fewer = np.bincount(slopes.of[given], -(self._lacks * found.x)[given], len(slopes.speeds))

    def reached(self) -> tuple[float, FloatArray]:
        return float(self._primary @ self._x), self._moved @ self._x + self._fewer

    def lacks(self, columns: IntArray, times: FloatArray) -> tuple[float, FloatArray]:
        weight = np.zeros(len(self._lacks))
        np.add.at(weight, columns, times)
        some = np.flatnonzero(weight[self._rows.columns])
        entries = self._rows.entries[some] * weight[self._rows.columns[some]]
        moved = self._moved @ weight - self._prices_moved[:, self._rows.rows[some]] @ entries
        return max(float(self._lacks @ weight), 0.0), moved

    def loses(self, rows: IntArray, sides: FloatArray) -> tuple[float, FloatArray]:
        return max(-float(self._prices[rows] @ sides), 0.0), -(self._prices_moved[:, rows] @ sides)


def stands(built: Program, x: FloatArray) -> Stands:
    """Where the gangs of a solution stand."""
    found: dict[str, tuple[frozenset[str], bool]] = {}
    runs, recipes = built.runs, built.problem.recipes
    for k in np.flatnonzero(runs.gang & (x[runs.at] > USED)).tolist():
        r = recipes[runs.recipe[k]]
        pools, moves = found.get(r.workload, (frozenset(), False))
        found[r.workload] = pools | {r.pool}, moves or bool(runs.slot[k] >= 0)
    return found


def as_in(built: Program, promises: Sequence[str], where: Stands) -> solve.Bounds:
    """All promises kept and gangs of all sizes, each job's where it stands already: a relaxation that mixes kinds of
    gang would lend every pool a part of one.
    """
    runs, recipes = built.runs, built.problem.recipes
    lower, upper = built.promised(promises, larger=True)
    for k in np.flatnonzero(runs.gang).tolist():
        r = recipes[runs.recipe[k]]
        pools, moves = where.get(r.workload, (frozenset(), False))
        there = pools <= set(r.joint.split("+")) if len(pools) > 1 else pools == {r.pool} and not r.joint
        if pools and (not there or moves != (runs.slot[k] >= 0)):
            upper[runs.at[k]] = 0.0
    return lower, upper


def _tokens(built: Program, w: Workload) -> float:
    """Tokens/s of a workload in the mean over the day."""
    wanted = built.wanted[w.name]
    if isinstance(w, Serve):
        return float(built.problem.weights @ wanted) * w.traffic.output.mean
    return float(wanted[0]) * (w.prompt.mean + w.output.mean if isinstance(w, Batch) else 1.0)
