"""The stock as a question: the same program with its chips left open, in one relaxation that is asked again and again.

One more column for the whole stock and one for each pool: u[p] ≤ n_p m + e_p. With m = 1 and e = 0 it is the stock that
is owned. It knows nothing of why anybody asks.

Every answer comes with its derivative by each speed f (`interval`): with row prices y and columns x,

    ∂v / ∂ln f = - Σ y_i a_ij x_j      over entries a_ij that are rates of what runs at that speed,

and what is aimed at itself, where it is a rate.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from eke.cost import FloatArray
from eke.plan import solve
from eke.plan.gangs import MOVE_S
from eke.plan.interval import Estimate, weakest
from eke.plan.part import whole
from eke.plan.program import Bools, Problem, Program
from eke.plan.recipes import Recipe
from eke.plan.scenario import Train

GROWN = 2.0
"""Times a pool that gangs are asked about where chips may be added."""
USED = 1e-6
"""Replicas from which a recipe counts as used."""


def lean(problem: Problem) -> Problem:
    """The problem with those recipes only that a relaxation can use, replicas and gangs being split at will.

    Of replicas that give the same answer in the same pool, the one that gives most a chip (in some slot of the day: no
    replica counts for more than is asked). Of a job's gangs in a pool, those on the concave hull of rate over chips:
    any other is a mixture of two of them. Nothing the relaxation reaches is lost.
    """
    owed = {w.name: w for w in problem.workloads}
    alike: dict[Hashable, list[Recipe]] = {}
    for r in problem.recipes:
        form = (r.variant, r.to) if r.part else ()
        alike.setdefault((r.workload, r.pool, r.joint, r.model, r.quality, r.part, *form), []).append(r)
    kept: set[Recipe] = set()
    for found in alike.values():
        w = owed[found[0].workload]
        if isinstance(w, Train):
            caps = {np.inf, w.tokens_per_s, *(w.tokens_per_s / problem.weights / max(_moving(problem), 1e-9)).tolist()}
            kept.update(found[i] for cap in caps if cap for i in _hull(found, cap))
        else:
            asked = problem.demand.get(w.name, np.zeros(0))
            rate, each = (np.array([getattr(r, name) for r in found], dtype=float) for name in ("rate", "units"))
            most = np.append(asked[asked > 0], np.inf)
            best = (np.minimum(rate[:, None], most) / each[:, None]).argmax(axis=0)
            kept.update(found[i] for i in best)
    return replace(problem, recipes=tuple(r for r in problem.recipes if r in kept))


def _moving(problem: Problem) -> float:
    """Share of a slot left to a gang that moves at every slot."""
    return max(0.0, 1 - MOVE_S / problem.slot_s)


def _hull(gangs: Sequence[Recipe], cap: float) -> list[int]:
    """Gangs on the upper concave hull of (units, rate up to `cap`), from nothing on."""
    points = sorted((r.units, min(r.rate, cap), i) for i, r in enumerate(gangs))
    hull: list[tuple[float, float, int]] = [(0.0, 0.0, -1)]
    for u, rate, i in points:
        if rate <= hull[-1][1]:
            continue
        while len(hull) > 1 and _below(hull[-2], hull[-1], (u, rate)):
            hull.pop()
        if u > hull[-1][0] or rate > hull[-1][1]:
            hull.append((u, rate, i))
    return [i for _, _, i in hull if i >= 0]


def _below(a: tuple[float, float, int], b: tuple[float, float, int], c: tuple[float, float]) -> bool:
    """Whether b lies on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


class Open:
    """A program whose stock is open.

    Args:
        built: the program. primary: what is aimed at, by column. promises: workloads whose promise is kept.
        floor: least of what is aimed at that counts, and how that moves with speeds; default: whatever.
    """

    def __init__(
        self, built: Program, primary: FloatArray, promises: Sequence[str], floor: Estimate | None = None
    ) -> None:
        problem, base = built.problem, whole(built)
        n, m, pools = len(base.lower), len(base.row_lower), list(problem.units)
        k, owned = len(pools), np.array([float(problem.units[p]) for p in pools])
        aside, each = np.array([built.aside[p] for p in pools]), np.arange(k)
        earns = np.zeros(0, dtype=np.int64) if floor is None else np.flatnonzero(primary)
        # u[p] - n_p m - e_p ≤ 0, and, last, what is aimed at
        self._rows = replace(
            base,
            lower=np.append(base.lower, np.zeros(1 + k)), upper=np.append(base.upper, np.zeros(1 + k)),
            row_lower=np.concatenate([base.row_lower, np.full(k, -np.inf), [floor.value if floor else -np.inf]]),
            row_upper=np.concatenate([base.row_upper, np.zeros(k), [np.inf]]),
            rows=np.concatenate([base.rows, *[m + each] * 3, np.full(len(earns), m + k)]),
            columns=np.concatenate([base.columns, aside, np.full(k, n), n + 1 + each, earns]),
            entries=np.concatenate([base.entries, np.ones(k), -owned, -np.ones(k), primary[earns]]),
        )  # fmt: skip
        self._primary = np.append(primary, np.zeros(1 + k))
        self._most = solve.Relaxation(self._rows, self._primary)
        self._names = pools
        self._chips = owned / np.array([problem.per_chip[p] for p in pools])
        per_unit = self._chips / np.maximum(owned, 1.0)
        objective = np.concatenate([np.zeros(n), [-self._chips.sum()], -per_unit])
        self._relaxation = solve.Relaxation(self._rows, objective)
        lower, upper = built.promised(promises)
        upper[aside] = np.inf
        upper[built.runs.at] = np.where(built.runs.gang, np.maximum(upper[built.runs.at], 1.0), np.inf)
        self._bounds = np.append(lower, np.zeros(1 + k)), np.append(upper, np.zeros(1 + k))
        self._owned, self._n, self._floor = owned, n, floor
        self._recipes = problem.recipes
        self._runs = built.runs
        self._speeds = [(p, trains) for p in pools for trains in (False, True)]
        self._of = np.full(n + 1 + k, -1, dtype=np.int64)  # which speed a column runs at
        at = {speed: i for i, speed in enumerate(self._speeds)}
        self._of[built.runs.at] = np.array([at[r.pool, r.kind == "train"] for r in problem.recipes], dtype=np.int64)[
            built.runs.recipe
        ]
        self._rates = self._are_rates(built)
        self._earning = self._of >= 0 if problem.goal in ("train-progress", "value") else np.zeros_like(self._of >= 0)

    def _are_rates(self, built: Program) -> Bools:
        """Which entries say what a column gives, and grow with its speed; the others count its chips, or itself."""
        rows, columns = self._rows.rows, self._rows.columns
        total = np.zeros(len(self._rows.row_lower), dtype=bool)  # what gangs give: tokens, and what is aimed at
        total[-1] = True
        counts = np.zeros(len(total), dtype=bool)
        counts[: len(built.problem.units) * len(built.problem.weights)] = True  # rows `pool`: the first ones
        for pinned in built.pinned.values():
            counts[pinned] = True
        for w in built.problem.workloads:
            if isinstance(w, Train):
                total[built.scaled[w.name][0]] = True
        gang = np.zeros(len(self._of), dtype=bool)
        gang[built.runs.at[built.runs.gang]] = True
        full = (self._rows.entries >= 1.0) & (rows < len(total) - 1)  # gives all that is asked: no speed gives more
        found: Bools = (self._of[columns] >= 0) & ~full & np.where(gang[columns], total[rows], ~counts[rows])
        return found

    def most(self, times: Mapping[str, float] | None = None) -> Estimate | None:
        """What the stock reaches of what is aimed at, some pools `times` as large; None: promises break."""
        more = {}
        for pool, share in (times or {}).items():
            k = self._names.index(pool)
            more[k] = (self._owned[k] * (share - 1.0),) * 2
        return self._known(self._most.under(self._within((1.0, 1.0), more)), self._primary)

    def stock(self) -> Estimate | None:
        """Chips needed of the stock's own mix."""
        return self._least((0.0, np.inf), {})

    def pool(self, name: str) -> Estimate | None:
        """Chips needed of one pool beside all of the others."""
        k = self._names.index(name)
        least = self._least((1.0, 1.0), {k: (-self._owned[k], np.inf)})
        return None if least is None else least + Estimate(float(self._chips[k] - self._chips.sum()))

    def _least(self, times: tuple[float, float], more: Mapping[int, tuple[float, float]]) -> Estimate | None:
        found = self._known(self._relaxation.under(self._within(times, more)), None)
        return None if found is None else found * -1.0

    def _known(self, found: solve.Relaxed, aimed: FloatArray | None) -> Estimate | None:
        """A solution's value, with its slopes and what it stands on."""
        if found.value is None:
            return None
        rows, columns = self._rows.rows[self._rates], self._rows.columns[self._rates]
        gives = -found.row_dual[rows] * self._rows.entries[self._rates] * found.x[columns]
        slope = np.bincount(self._of[columns], gives, len(self._speeds))
        if aimed is not None:
            slope += np.bincount(self._of[self._earning], (aimed * found.x)[self._earning], len(self._speeds))
        used = {self._recipes[i] for i in self._runs.recipe[found.x[self._runs.at] > USED].tolist()}
        moves = {speed: float(g) for speed, g in zip(self._speeds, slope, strict=True) if g}
        known = Estimate(found.value, moves, weakest(*(r.basis for r in used)))
        if self._floor is None or aimed is not None:
            return known
        return known + replace(self._floor * float(found.row_dual[-1]), value=0.0)

    def _within(self, times: tuple[float, float], more: Mapping[int, tuple[float, float]]) -> solve.Bounds:
        lower, upper = (bound.copy() for bound in self._bounds)
        lower[self._n], upper[self._n] = times
        for k, (low, high) in more.items():
            lower[self._n + 1 + k], upper[self._n + 1 + k] = low, high
        return lower, upper
