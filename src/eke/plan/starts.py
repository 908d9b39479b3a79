"""Replicas that start during the day, and the chips that are busy with that.

Who works in a slot and not in the one before is started ahead, as in a theatre where the next scene is set up before
the curtain: in the last minutes of the slot before, on chips that then do nothing else. So a slot's chips must hold its
own replicas, and those that the next one starts for as much of the slot as a start takes:

    start    Σ_r units_r x[r,t] + Σ_r units_r m_r z[r,·] + Σ_r units_r (T_r / slot) s[r,t] ≤ units of p   each p, t
             s[r,t] ≥ x[r,t+1] - x[r,t]                                                                   each r, t

T_r is a replica's start; m_r is what a gang that moves keeps of a slot (its chips are free while it moves), 1 for one
that stays. Batch work promises no moment: its replicas start in their own slot, and the pile loses that time:

    pile     Σ_t Σ_r min(w_t rate_r / D[s], 1) x[r,t] - Σ_t Σ_r (T_r / day) rate_r / D[s] s[r,t] + d[s] ≥ 1

The program is solved without these rows, so its bound holds with them; then whole replicas are put right around the
slots that break them, which takes a few chips of thousands. It knows the program; not what anything is worth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan import solve, steady
from eke.plan.part import part, whole
from eke.plan.program import Bools, Program
from eke.plan.recipes import Recipe

NEAR_S, FAR_S = 0.3, 2.0
"""CPU seconds to put right the slots around a shortage, and then the whole day."""
WASTED = 2e-4
"""Share of the chips in use that putting right may waste, and a tenth of a chip."""
SMALLER = 10
"""Sizes of a gang that are tried when it gives way, at last."""
CHURN = 10.0
"""Times its chip-time that a start counts for when a plan is put right: the fewer, the less can go wrong."""
DEAR = 1e3
"""Times the largest price in the objective that a chip counts for which what starts does not find."""
TIGHT = 1e-6
"""Chips by which rounding may pass a pool's, and share of a pile that it may leave."""
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Starts:
    """What starts in a day of `slots` slots.

    Attributes:
        recipes: in use, with replicas that start at the end of each slot, for the next one.
        busy: units of each pool busy starting, in the mean of each slot. late: those that find no room.
        lost: requests/s that batch work loses to its starts, in the mean over the day.
    """

    recipes: tuple[tuple[Recipe, IntArray], ...]
    busy: Mapping[str, FloatArray]
    late: Mapping[str, FloatArray]
    lost: Mapping[str, float]


def of(program: Program, x: FloatArray) -> Starts:
    """What starts in the plan `x`, and where there is no room for it."""
    problem, runs = program.problem, program.runs
    class_of = _class_of(program)
    slots = len(class_of)
    counts: dict[int, IntArray] = {}
    used = {pool: np.zeros(slots) for pool in problem.units}
    for k in np.flatnonzero(x[runs.at] > 0.5).tolist():
        i, n, slot = int(runs.recipe[k]), round(x[runs.at[k]]), int(runs.slot[k])
        r, here = problem.recipes[i], (class_of == slot) | (slot < 0)
        share = program.moving if runs.gang[k] and slot >= 0 else 1.0
        used[r.pool][here] += n * r.units * share
        if not runs.gang[k]:
            counts.setdefault(i, np.zeros(slots, dtype=np.int64))[here] += n
    busy = {pool: np.zeros(slots) for pool in problem.units}
    lost = {w.name: 0.0 for w in problem.workloads if w.kind == "batch"}
    started = []
    for i, n in counts.items():
        r, ahead = problem.recipes[i], np.maximum(np.roll(n, -1) - n, 0)
        if r.kind == "batch":
            lost[r.workload] += float(ahead.sum()) * r.rate * r.start_s / DAY_S
        else:
            busy[r.pool] += ahead * r.units * r.start_s / problem.slot_s
        started.append((r, ahead))
    late = {p: np.minimum(np.maximum(used[p] + busy[p] - n, 0.0), busy[p]) for p, n in problem.units.items()}
    return Starts(tuple(started), busy, {p: np.where(v > TIGHT, v, 0.0) for p, v in late.items()}, lost)


def _class_of(program: Program) -> IntArray:
    """Of each slot of the day the class it is in."""
    slots = program.problem.slots
    found = np.zeros(sum(len(s) for s in slots), dtype=np.int64)
    for c, same in enumerate(slots):
        found[list(same)] = c
    return found


def _slot_of(program: Program) -> IntArray:
    """Of each column the class of slots it belongs to; -1 for gangs and what stands all day."""
    of = np.full(len(program.lower), -1, dtype=np.int64)
    of[program.runs.at] = np.where(program.runs.gang, -1, program.runs.slot)
    classes = np.arange(len(program.problem.weights))
    for columns in program.answered.values():
        of[columns] = classes
    for columns in program.flows.values():
        of[columns] = classes
    for kept in program.reserves:
        of[kept.used] = kept.slot
        for columns in kept.shares:
            of[columns] = classes
    for name, columns in program.missing.items():
        if name in program.problem.demand:
            of[columns] = classes
    return of


def paid(program: Program, objective: FloatArray, tie: float, x: FloatArray) -> FloatArray:
    """A plan like `x` whose chips are enough for its starts too, as far as one is found: around each shortage, then
    with more batch work, then over the whole day, and last with other gangs.

    Args:
        program: what is solved.
        objective: what is maximised.
        tie: what a chip costs of it.
        x: a plan in whole replicas.
    """
    began, runs, before = x, program.runs, of(program, x)
    if not any(v.any() for v in before.late.values()) and not any(before.lost.values()):
        return x
    day = _Day(program, objective, tie, _worth_a_try(program, x))
    used = np.isin(runs.recipe, runs.recipe[x[runs.at] > 0.5])
    for k, (now, then) in enumerate(day.pairs.tolist()):
        for moved in (used & (runs.slot == now), runs.slot == now, (runs.slot == now) | (runs.slot == then)):
            if day.short(x, k):
                x = day.better(x, moved & ~runs.gang, NEAR_S)
    if day.short(x):
        piles = np.array([r.kind == "batch" for r in program.problem.recipes], dtype=bool)[runs.recipe]
        x = day.better(x, used & piles, NEAR_S, more=True)
    for gangs in (np.zeros_like(runs.gang), _like(program, x)):
        if day.short(x):
            found = day.better(x, ~runs.gang | gangs, FAR_S, last=bool(gangs.any()))
            stand = [(plan[runs.at[runs.gang]] > 0.5).sum() for plan in (x, found)]
            if stand[0] == stand[1]:  # a gang gives way a little, not altogether
                x = found
    return x if day.shortage(x) < day.shortage(began) else began


def _like(program: Program, x: FloatArray) -> Bools:
    """Gangs in the place and time of those in use, and of their size or one of the next smaller ones."""
    runs, recipes = program.runs, program.problem.recipes
    places: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
    for k in np.flatnonzero(runs.gang).tolist():
        r = recipes[runs.recipe[k]]
        places[r.workload, r.pool, r.joint, int(runs.slot[k])].append((r.units, k))
    like = np.zeros(len(runs.at), dtype=bool)
    for gangs in places.values():
        used = max((size for size, k in gangs if x[runs.at[k]] > 0.5), default=0)
        like[[k for _, k in sorted(g for g in gangs if g[0] <= used)[-SMALLER:]]] = True
    return like


def _worth_a_try(program: Program, x: FloatArray) -> IntArray:
    """Recipes in use, and for each workload and pool the one that gives most for its chips."""
    runs, problem = program.runs, program.problem
    free = np.unique(runs.recipe[(x[runs.at] > 0.5) & ~runs.gang]).tolist()
    best: dict[tuple[str, str, str], int] = {}
    for i, r in enumerate(problem.recipes):
        key = (r.workload, r.pool, r.model)
        if r.kind != "train" and not r.part and r.units <= problem.units[r.pool]:
            other = problem.recipes[best.setdefault(key, i)]
            if r.rate / r.units > other.rate / other.units:
                best[key] = i
    return np.array(sorted({*free, *best.values()}), dtype=np.int64)


class _Day:
    """The program with starts: columns s, and columns late (of pools and of piles) with a price so high that none is
    wanted.
    """

    def __init__(self, program: Program, objective: FloatArray, tie: float, tried: IntArray) -> None:
        problem, runs, base = program.problem, program.runs, whole(program)
        class_of = _class_of(program)
        both = np.stack([class_of, np.roll(class_of, -1)], axis=1)
        pairs, often = np.unique(both, axis=0, return_counts=True)
        differ = pairs[:, 0] != pairs[:, 1]
        self.program, self.tie, self.pairs, self._slot_of = program, tie, pairs[differ], _slot_of(program)
        self._tried = ~runs.gang & np.isin(runs.recipe, tried)
        self._recipes, self._pools = [problem.recipes[i] for i in tried], list(problem.units)
        n, m, k = len(base.lower), len(base.row_lower), len(self.pairs)
        self._x = np.zeros((len(tried), len(problem.weights)), dtype=np.int64)  # columns x[r,t]
        self._x[np.searchsorted(tried, runs.recipe[self._tried]), runs.slot[self._tried]] = runs.at[self._tried]
        s = n + np.arange(len(tried) * k).reshape(-1, k)
        late = n + s.size + np.arange(len(self._pools) * k).reshape(-1, k)
        ahead = m + np.arange(s.size).reshape(-1, k)  # row: s - x[t+1] + x[t] ≥ 0
        full = m + s.size + np.arange(late.size).reshape(-1, k)  # row start
        piles = [w for w in problem.workloads if w.kind == "batch" and program.wanted[w.name][0] > 0]
        row = {w.name: int(program.scaled[w.name][0][0]) for w in piles}
        of_pile = np.array([r.workload in row for r in self._recipes], dtype=bool)
        self._piles, behind = np.array(list(row.values()), dtype=np.int64), n + s.size + late.size + np.arange(len(row))
        share = often[differ] / len(class_of)  # of the day's slots that end so
        self._units = np.array([r.units for r in self._recipes], dtype=float)
        self._share = np.array([r.start_s for r in self._recipes]) / problem.slot_s
        self._pool = np.array([self._pools.index(r.pool) for r in self._recipes])
        now, then = self._x[:, self.pairs[:, 0]], self._x[:, self.pairs[:, 1]]
        here, ahead_of_time = full[self._pool], np.where(of_pile, 0.0, self._units * self._share)
        each = np.array([r.rate / program.wanted[r.workload][0] if mine else 0.0
                         for r, mine in zip(self._recipes, of_pile, strict=True)])  # fmt: skip
        # What a replica gives counts up to all that is wanted; what it loses, as far as it then gives less.
        slower = np.outer(each * self._share, share)
        slower -= np.maximum(np.outer(each, problem.weights[self.pairs[:, 1]]) - 1.0, 0.0)
        of_pile_row = np.array([row.get(r.workload, 0) for r in self._recipes], dtype=np.int64)[of_pile]
        gangs = [_gangs(program, full, self._pools, t, column) for column, t in enumerate(self.pairs[:, 0].tolist())]
        entries = [
            (ahead, s, np.ones(s.shape)), (ahead, then, -np.ones(s.shape)), (ahead, now, np.ones(s.shape)),
            (here, s, np.broadcast_to(ahead_of_time[:, None], s.shape)),
            (np.repeat(of_pile_row, k), s[of_pile], -np.maximum(slower, 0.0)[of_pile]),
            (self._piles, behind, np.ones(len(row))),
            (here, now, np.broadcast_to(self._units[:, None], s.shape)), (full, late, -np.ones(late.shape)), *gangs,
        ]  # fmt: skip
        rows, columns, values = (np.concatenate([e[i].ravel() for e in entries]) for i in range(3))
        self._room = np.array([float(problem.units[p]) for p in self._pools])
        more = s.size + late.size + len(row)
        self.rows = replace(
            base, lower=np.append(base.lower, np.zeros(more)), upper=np.append(base.upper, np.full(more, np.inf)),
            row_lower=np.concatenate([base.row_lower, np.zeros(s.size), np.full(late.size, -np.inf)]),
            row_upper=np.concatenate([base.row_upper, np.full(s.size, np.inf), np.repeat(self._room, k)]),
            rows=np.append(base.rows, rows), columns=np.append(base.columns, columns),
            entries=np.append(base.entries, values),
        )  # fmt: skip
        spared = np.array([problem.spared(r) for r in self._recipes]) * self._share
        dear = DEAR * (float(np.abs(objective).max(initial=0.0)) + tie)
        cost = CHURN * tie * np.outer(spared, share).ravel()
        self.objective = np.concatenate([objective, -cost, np.full(late.size + len(row), -dear)])

    def more(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Columns s and late of a plan: (recipes, pairs), (pools, pairs) and of piles."""
        now, then = x[self._x[:, self.pairs[:, 0]]], x[self._x[:, self.pairs[:, 1]]]
        s = np.maximum(then - now, 0.0)
        filled = np.append(np.append(x, s), np.zeros(len(self.rows.lower) - len(x) - s.size))
        done = np.bincount(self.rows.rows, self.rows.entries * filled[self.rows.columns])
        busy = done[-len(self._pools) * len(self.pairs) :].reshape(-1, len(self.pairs))
        behind = self.rows.row_lower[self._piles] - done[self._piles]
        return s, np.maximum(busy - self._room[:, None], 0.0), np.maximum(behind, 0.0)

    def short(self, x: FloatArray, pair: int | None = None) -> bool:
        """Whether what starts between this pair of slots finds too little room; without one, anything at all."""
        return bool((self.more(x)[1][:, pair] > TIGHT).any()) if pair is not None else self.shortage(x) > 0

    def shortage(self, x: FloatArray) -> float:
        """What a plan's starts lack, in all."""
        _, late, behind = self.more(x)
        return float(late[late > TIGHT].sum() + behind[behind > TIGHT].sum())

    def better(
        self, x: FloatArray, moved: Bools, seconds: float, *, last: bool = False, more: bool = False
    ) -> FloatArray:
        """The plan with the runs `moved` decided anew, with `more` only upwards; `x` where nothing better is found."""
        program, runs = self.program, self.program.runs
        lower, upper = steady.held(program, x, runs.at[~moved | ~(self._tried | runs.gang)])
        for column in program.aside.values():  # where chips set aside are what is aimed at, no more of them but at last
            if last or self.objective[column] == 0.0:
                upper[column] = program.upper[column]
        if more:
            lower[runs.at[moved]] = x[runs.at[moved]]
        start = np.concatenate([x, *(columns.ravel() for columns in self.more(x))])
        rest = len(start) - len(x)
        elsewhere = (self._slot_of >= 0) & ~np.isin(self._slot_of, runs.slot[moved])
        lower[elsewhere] = upper[elsewhere] = x[elsewhere]
        bounds = np.append(lower, np.zeros(rest)), np.append(upper, np.full(rest, np.inf))
        integer = np.append(program.integer, np.zeros(rest, dtype=bool))
        slack = self.tie * (WASTED * float(program.spared @ x) + 0.1)
        posed = part(self.rows, bounds, start, np.flatnonzero(bounds[1] > bounds[0]))
        found = solve.search(
            posed, self.objective[posed.at], (posed.lower, posed.upper), integer[posed.at], seconds=seconds, gap=1e-9,
            slack=slack, start=start[posed.at],
        )  # fmt: skip
        if found.x is None or found.value <= self.objective[posed.at] @ start[posed.at]:
            return x
        start[posed.at] = found.x
        return start[: len(x)]


def _gangs(
    program: Program, full: IntArray, pools: list[str], t: int, column: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Entries of the gangs of slot class `t` in the rows start of one pair of slots."""
    runs, recipes = program.runs, program.problem.recipes
    here = np.flatnonzero(runs.gang & ((runs.slot < 0) | (runs.slot == t)))
    rows = np.array([full[pools.index(recipes[i].pool), column] for i in runs.recipe[here]], dtype=np.int64)
    kept = np.where(runs.slot[here] < 0, 1.0, program.moving)
    return rows, runs.at[here], kept * np.array([float(recipes[i].units) for i in runs.recipe[here]])
