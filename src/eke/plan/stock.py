"""The stock as a question: the same program with its chips left open, in one relaxation that is asked again and again.

One more column for the whole stock and one for each pool: u[p] ≤ n_p m + e_p. With m = 1 and e = 0 it is the stock that
is owned. It knows nothing of why anybody asks.

A job's gang is of one kind: alone in one pool or in parts over one group, one size all day or moving with the slots.
The best kind is looked for question by question; a relaxation that mixes them would run a gang of twice a pool half of
the day. Of any one kind, gangs come in all sizes up to `GROWN` times a pool, so that no chip is left over for want of a
size: a few per cent more than a plan in whole gangs reaches.

Every answer comes with its derivative by each speed (`slopes`).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan import solve
from eke.plan.gangs import MOVE_S
from eke.plan.interval import Estimate, weakest
from eke.plan.part import whole
from eke.plan.program import Problem, Program
from eke.plan.recipes import Recipe
from eke.plan.scenario import Train
from eke.plan.slopes import Slopes

GROWN = 2.0
"""Times a pool that gangs are asked about where chips may be added."""
BEHIND, FEW = 0.1, 0.8
"""A kind of gang is poor that is so far behind the best; a stock is another where a pool has less than this share."""
Way = tuple[str, str, bool]
"""A job, the pool or group its gang stands in, and whether it changes size with the slots."""
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
        poor: kinds of gang that need not be asked about, where a job has others.
    """

    def __init__(
        self, built: Program, primary: FloatArray, promises: Sequence[str], floor: Estimate | None = None,
        poor: Collection[Way] = (),
    ) -> None:  # fmt: skip
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
        self._slopes = Slopes(built, self._rows, m + k)
        self._ways = self._all_ways(built, set(poor))
        self._best: dict[str, Way] = {}
        self._seen: dict[Way, float | None] = {}
        self.poor: set[Way] = set(poor)
        self._gangs = built.runs.at[built.runs.gang]

    def _all_ways(self, built: Program, poor: set[Way]) -> dict[str, dict[Way, IntArray]]:
        """Of each job, the columns of each kind of gang it may have."""
        found: dict[str, dict[Way, list[int]]] = {}
        for column, recipe, slot in zip(
            built.runs.at.tolist(), built.runs.recipe.tolist(), built.runs.slot.tolist(), strict=True
        ):
            r = self._recipes[recipe]
            if r.kind == "train":
                way = (r.workload, r.joint or r.pool, slot >= 0)
                found.setdefault(r.workload, {}).setdefault(way, []).append(column)
        return {
            job: {w: np.array(at) for w, at in ways.items() if w not in poor or not ways.keys() - poor}
            for job, ways in found.items()
        }

    def most(self, times: Mapping[str, float] | None = None) -> Estimate | None:
        """What the stock reaches of what is aimed at, some pools `times` as large; None: promises break."""
        more = {}
        for pool, share in (times or {}).items():
            k = self._names.index(pool)
            more[k] = (self._owned[k] * (share - 1.0),) * 2
        anew = min((times or {}).values(), default=1.0) < FEW
        return self._known(self._in_the_best_way(self._most, self._within((1.0, 1.0), more), anew), self._primary)

    def stock(self) -> Estimate | None:
        """Chips needed of the stock's own mix."""
        return self._least((0.0, np.inf), {})

    def pool(self, name: str) -> Estimate | None:
        """Chips needed of one pool beside all of the others."""
        k = self._names.index(name)
        least = self._least((1.0, 1.0), {k: (-self._owned[k], np.inf)})
        return None if least is None else least + Estimate(float(self._chips[k] - self._chips.sum()))

    def _least(self, times: tuple[float, float], more: Mapping[int, tuple[float, float]]) -> Estimate | None:
        found = self._known(self._in_the_best_way(self._relaxation, self._within(times, more), False), None)
        return None if found is None else found * -1.0

    def _in_the_best_way(self, asked: solve.Relaxation, bounds: solve.Bounds, anew: bool) -> solve.Relaxed:
        """The best answer with one kind of gang for each job: job by job, the others as they were best before.

        Kinds far behind the best when first asked (`poor`) are not asked again, unless the stock is another (`anew`).
        """
        first = not self._best
        best = dict(self._best) or {job: next(iter(ways)) for job, ways in self._ways.items()}
        answer = asked.under(self._only(best, bounds)) if not first or not best else solve.NOTHING
        for job, ways in self._ways.items():
            for way in ways:
                if (way == best[job] and not first) or (way in self.poor and not (first or anew)):
                    continue
                tried = asked.under(self._only({**best, job: way}, bounds))
                self._seen[way] = tried.value
                if tried.value is not None and (answer.value is None or tried.value > answer.value):
                    answer, best = tried, {**best, job: way}
        if first and answer.value is not None:
            self._best = best
            self.poor |= {
                way for way, v in self._seen.items()
                if v is None or v < answer.value - BEHIND * abs(answer.value)
            }  # fmt: skip
        return answer

    def _only(self, best: Mapping[str, Way], bounds: solve.Bounds) -> solve.Bounds:
        """Bounds under which each job has no gang but of its kind."""
        mine = np.concatenate([self._ways[job][way] for job, way in best.items()] or [np.zeros(0, dtype=np.int64)])
        upper = bounds[1].copy()
        upper[self._gangs] = 0.0
        upper[mine] = bounds[1][mine]
        return bounds[0], upper

    def _known(self, found: solve.Relaxed, aimed: FloatArray | None) -> Estimate | None:
        """A solution's value, with its slopes and what it stands on."""
        if found.value is None:
            return None
        slope = self._slopes.by_speed(self._slopes.moved(found.row_dual, aimed) @ found.x)
        used = {self._recipes[i] for i in self._runs.recipe[found.x[self._runs.at] > USED].tolist()}
        known = Estimate(found.value, slope, weakest(*(r.basis for r in used)))
        if self._floor is None or aimed is not None:
            return known
        return known + replace(self._floor * float(found.row_dual[-1]), value=0.0)

    def _within(self, times: tuple[float, float], more: Mapping[int, tuple[float, float]]) -> solve.Bounds:
        lower, upper = (bound.copy() for bound in self._bounds)
        lower[self._n], upper[self._n] = times
        for k, (low, high) in more.items():
            lower[self._n + 1 + k], upper[self._n + 1 + k] = low, high
        return lower, upper
