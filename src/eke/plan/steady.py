"""The same promises and objective, told simply: few recipes, the same ones all day, piles worked off evenly.

Many plans reach an objective; of these one is taken that a person would. With training fixed, a program with two more
columns for each recipe, v[r] ≥ x[r,t] replicas at its peak and whether it is used at all, chooses recipes; replicas may
be split there. On these alone the integer program is small. A pile may be worked off at any time: of all ways, the one
whose highest number of replicas is least. Neither changes objective or promises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan import solve
from eke.plan.part import Part, part, whole
from eke.plan.program import Bools, Program
from eke.plan.recipes import Recipe
from eke.plan.solve import Bounds

NIGHT = 0.2
"""Weight of chips in use beside chips at a recipe's peak."""
EACH = 0.01
"""Share of the chips at their peak that one recipe less is worth: so much is spent for a plan with fewer kinds."""
SECONDS, GAP = 0.5, 1e-2
"""CPU seconds for the piles, and share of the chips that may be wasted."""
CHOOSE_S, FEW_S, CHOICE = 0.5, 1.0, 0.03
"""CPU seconds to choose recipes with split replicas, and then for whole ones; what the choice may leave."""
THRIFTY = 4
"""Recipes of a pile that are tried beside those in use, when it is worked off evenly."""
TRACE = 1e-6
"""A recipe is used where there is more of it than this."""
ROUNDING = (1.0, 0.3, 0.0)
"""Replicas of each recipe a pool must have room for when recipes are chosen, so that whole ones find room: the most
that can be."""


def settle(program: Program, primary: FloatArray, x: FloatArray) -> FloatArray:
    """A plan like `x` of few recipes and with even piles; as far as such a one is found in time."""
    return _even(program, primary, _few(program, primary, x))


def _few(program: Program, primary: FloatArray, x: FloatArray) -> FloatArray:
    """Few recipes instead of those of `x`, if that costs neither objective nor promises."""
    runs = program.runs
    lower, upper = held(program, x, runs.at[runs.gang])
    for column in program.aside.values():
        if primary[column] == 0.0:
            upper[column] = program.upper[column]
    tried = _tried(program, x)
    upper[runs.at[~runs.gang & ~np.isin(runs.recipe, tried)]] = 0.0
    some = ~runs.gang & np.isin(runs.recipe, tried)
    at, kind = runs.at[some], np.searchsorted(tried, runs.recipe[some])
    for starting in (True, False):
        simple = _Simple(program, tried, at, kind, x, starting=starting)
        before, found = simple.worth(x), simple.plan((lower, upper), last=not starting)
        if (
            found is not None
            and primary @ (x - found) <= 1e-6 * abs(primary @ x) + 1e-12
            and simple.worth(found) > before
        ):
            return found
    return x


def _serves(program: Program) -> Bools:
    """Of each run whether it answers requests, which no other slot can."""
    return np.array([r.kind == "serve" for r in program.problem.recipes], dtype=bool)[program.runs.recipe]


def _full(program: Program, x: FloatArray) -> IntArray:
    """Slots in which a pool is used most, or a workload asks most."""
    runs, problem, serves = program.runs, program.problem, _serves(program)
    pools = list(problem.units)
    pool = np.array([pools.index(r.pool) for r in problem.recipes], dtype=np.int64)[runs.recipe[serves]]
    units = np.array([r.units for r in problem.recipes], dtype=float)[runs.recipe[serves]]
    use = np.zeros((len(pools), len(problem.weights)))
    np.add.at(use, (pool, runs.slot[serves]), units * x[runs.at[serves]])
    asked = np.array([*use, *problem.demand.values()]).reshape(-1, len(problem.weights))
    return np.unique(asked[asked.max(axis=1) > asked.min(axis=1)].argmax(axis=1)) if len(asked) else np.arange(0)


def _tried(program: Program, x: FloatArray) -> IntArray:
    """Recipes in use, and for each workload and model in each pool the one that gives most for its chips; the former
    alone where there is no more than one a workload.
    """
    runs, problem = program.runs, program.problem
    used = np.unique(runs.recipe[~runs.gang & (x[runs.at] > 0.5)])
    if len(used) <= sum(w.kind != "train" for w in problem.workloads):
        return used
    best: dict[tuple[str, ...], int] = {}
    for i, r in enumerate(problem.recipes):
        if r.kind != "train" and r.units <= problem.units[r.pool]:
            other = problem.recipes[best.setdefault((r.workload, r.model, r.pool, r.part, r.to), i)]
            if r.rate / r.units > other.rate / other.units:
                best[r.workload, r.model, r.pool, r.part, r.to] = i
    return np.unique(np.append(used, np.fromiter(best.values(), dtype=np.int64)))


class _Simple:
    """The program with what makes a plan simple: columns v[r] ≥ x[r,t], replicas at the peak, and whether r is used."""

    def __init__(
        self, program: Program, tried: IntArray, at: IntArray, kind: IntArray, x: FloatArray, *, starting: bool
    ) -> None:  # fmt: skip
        recipes, n = [program.problem.recipes[i] for i in tried], len(program.lower)
        self._program, self._at, self._kind, self._n = program, at, kind, n
        self._chips = np.array([program.problem.spared(r) for r in recipes])
        self._units = np.array([float(r.units) for r in recipes])
        self._room = [program.rows[program.columns == program.aside[r.pool]] for r in recipes]
        # Replicas at the peak may all start at once: their pool has room for that, so that nothing must give way.
        starts = self._units * np.array([r.start_s for r in recipes]) / program.problem.slot_s
        self._peaks = _peaks(whole(program), at, kind, len(recipes))
        # Recipes are chosen where it is full: elsewhere they do as well, and until then services stay as they are.
        slot = np.full(n, -1)
        slot[program.runs.at] = np.where(_serves(program), program.runs.slot, -1)
        busy = _full(program, x)
        self._full, self._x = (slot[at] < 0) | np.isin(slot[at], busy), x
        self._some = _peaks(whole(program), at[self._full], kind[self._full], len(recipes))
        self._busy = [rows[busy] for rows in self._room]
        if starting:
            more = n + np.arange(len(recipes))
            self._peaks = _with(self._peaks, self._room, more, starts)
            self._some = _with(self._some, self._busy, more, starts)
        self._most = np.array([_most(program, r) for r in recipes])
        self._charge = 0.0

    def worth(self, x: FloatArray) -> float:
        """What a plan is worth: minus chips, at the peak and in the mean, and recipes. The first sets their charge."""
        peak = self._peak(x)
        chips = float(self._chips @ peak)
        self._charge = self._charge or EACH * chips
        return -NIGHT * float(self._program.spared @ x) - chips - self._charge * float((peak > 0).sum())

    def _peak(self, x: FloatArray) -> FloatArray:
        """Replicas of each recipe at its peak."""
        peak = np.zeros(len(self._chips))
        np.maximum.at(peak, self._kind, np.round(x[self._at]))
        return peak

    def plan(self, bounds: Bounds, *, last: bool) -> FloatArray | None:
        """A plan of the recipes chosen; where these find no room in whole replicas, at `last` of all that are tried."""
        for rounding in ROUNDING:
            split = self._charged(bounds, rounding)
            if split is not None:
                used = np.zeros(len(self._chips), dtype=bool)
                used[self._kind[self._full & (split[self._at] > TRACE)]] = True
                few = bounds[1].copy()
                few[self._at[~used[self._kind]]] = 0.0
                found = self._whole((bounds[0], few))
                if found is not None:
                    return found
        return self._whole(bounds, start=np.append(self._x, self._peak(self._x))) if last else None

    def _charged(self, bounds: Bounds, rounding: float) -> FloatArray | None:
        """The plan in split replicas that is worth most; each recipe in use needs room for `rounding` more of them."""
        base, program, k = self._some, self._program, len(self._chips)
        bounds = bounds[0].copy(), bounds[1].copy()
        stays = self._at[~self._full]
        bounds[0][stays] = bounds[1][stays] = self._x[stays]
        used, row = self._n + k + np.arange(k), len(base.row_lower) + np.arange(k)
        wide = replace(
            base, lower=np.append(base.lower, np.zeros(k)), upper=np.append(base.upper, np.ones(k)),
            row_lower=np.append(base.row_lower, np.zeros(k)), row_upper=np.append(base.row_upper, np.full(k, np.inf)),
            rows=np.concatenate([base.rows, row, row]), columns=np.concatenate([base.columns, used, used - k]),
            entries=np.concatenate([base.entries, self._most, -np.ones(k)]),
        )  # fmt: skip
        wide = _with(wide, self._busy, used, rounding * self._units)
        lower = np.concatenate([bounds[0], np.zeros(2 * k)])
        upper = np.concatenate([bounds[1], np.full(k, np.inf), np.ones(k)])
        objective = np.concatenate([-NIGHT * program.spared, -self._chips, np.full(k, -self._charge)])
        integer = np.repeat([False, False, True], [self._n, k, k])
        found = solve.search(wide, objective, (lower, upper), integer, seconds=CHOOSE_S, gap=CHOICE)
        return None if found.x is None else found.x[: self._n]

    def _whole(self, bounds: Bounds, start: FloatArray | None = None) -> FloatArray | None:
        """The plan in whole replicas whose peaks take fewest chips."""
        k, program = len(self._chips), self._program
        lower, upper = np.append(bounds[0], np.zeros(k)), np.append(bounds[1], np.full(k, np.inf))
        objective = np.append(-NIGHT * program.spared, -self._chips)
        integer = np.append(program.integer, np.zeros(k, dtype=bool))
        found = solve.search(self._peaks, objective, (lower, upper), integer, seconds=FEW_S, gap=GAP, start=start)
        return None if found.x is None else found.x[: self._n]


def _with(base: Part, room: Sequence[IntArray], columns: IntArray, units: FloatArray) -> Part:
    """The part with `units` of a recipe's pool taken by its column, in the rows `room` of each."""
    return replace(
        base, rows=np.concatenate([base.rows, *room]),
        columns=np.concatenate([base.columns, *map(np.full_like, room, columns)]),
        entries=np.concatenate([base.entries, np.repeat(units, [len(r) for r in room])]),
    )  # fmt: skip


def _most(program: Program, r: Recipe) -> float:
    """Most replicas of a recipe that can be of use: twice what is asked for, since some round up and some may fail."""
    fit = float(program.problem.units[r.pool] // r.units)
    demand = program.problem.demand.get(r.workload)
    return fit if demand is None else min(fit, 2.0 * np.ceil(demand.max() / r.rate) + 2.0)


def held(program: Program, x: FloatArray, fixed: IntArray) -> Bounds:
    """Bounds that keep the columns `fixed`, what is missing, what is set aside and what runs as they are in `x`."""
    lower, upper = program.lower.copy(), program.upper.copy()
    lower[fixed] = upper[fixed] = x[fixed]
    for columns in program.missing.values():
        upper[columns] = np.minimum(upper[columns], x[columns] + 1e-9)
    for column in program.aside.values():
        upper[column] = x[column] + 1e-6
    for column in program.started.values():
        lower[column] = x[column]
    return lower, upper


def _even(program: Program, primary: FloatArray, x: FloatArray) -> FloatArray:
    """The same with piles worked off evenly; `x` itself when that is not found in time."""
    runs, problem = program.runs, program.problem
    piles = np.array([r.kind == "batch" for r in problem.recipes], dtype=bool)[runs.recipe]
    piles &= np.isin(runs.recipe, [*np.unique(runs.recipe[x[runs.at] > 0.5]), *_thrifty(program)])
    at, recipe = runs.at[piles], runs.recipe[piles]
    if not len(at) or primary[at].any():
        return x
    posed = part(program, (program.lower, program.upper), x, at)
    kinds, kind = np.unique(recipe, return_inverse=True)
    wide = _peaks(posed, np.arange(len(at)), kind, len(kinds))
    chips = np.array([problem.spared(problem.recipes[i]) for i in kinds])
    objective = np.append(-NIGHT * program.spared[at], -chips)
    integer, peak = np.ones(len(objective), dtype=bool), np.zeros(len(kinds))
    np.maximum.at(peak, kind, np.round(x[at]))
    start = np.append(np.round(x[at]), peak)
    found = solve.search(wide, objective, (wide.lower, wide.upper), integer, seconds=SECONDS, gap=GAP, start=start)
    if found.x is None:
        return x
    settled = x.copy()
    settled[at] = found.x[: len(at)]
    return settled


def _thrifty(program: Program) -> list[int]:
    """Of each pile the recipes that spare most: more than a few make it no better."""
    found: dict[str, list[int]] = defaultdict(list)
    for i, r in enumerate(program.problem.recipes):
        if r.kind == "batch":
            found[r.workload].append(i)
    spares = [r.rate / program.problem.spared(r) for r in program.problem.recipes]
    return [i for mine in found.values() for i in sorted(mine, key=lambda i: -spares[i])[:THRIFTY]]


def _peaks(posed: Part, at: IntArray, kind: IntArray, kinds: int) -> Part:
    """The part with one more column v for each kind of recipe, and rows v ≥ x for its columns `at`."""
    n, m = len(posed.lower), len(posed.row_lower)
    rows = m + np.arange(len(at))
    return replace(
        posed,
        lower=np.append(posed.lower, np.zeros(kinds)), upper=np.append(posed.upper, np.full(kinds, np.inf)),
        row_lower=np.append(posed.row_lower, np.zeros(len(at))),
        row_upper=np.append(posed.row_upper, np.full(len(at), np.inf)),
        rows=np.concatenate([posed.rows, rows, rows]), columns=np.concatenate([posed.columns, at, n + kind]),
        entries=np.concatenate([posed.entries, -np.ones(len(at)), np.ones(len(at))]),
    )  # fmt: skip
