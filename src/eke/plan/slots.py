"""Whole replicas, slot by slot: once training stands, each slot of the day is a small program of its own.

Gangs, what is set aside and each slot's part in the day's totals are taken from a solution in which replicas may still
be split. A slot then asks in whole replicas for what it needs at least, the fullest slot first; slots after it stay
with recipes already chosen where these do, so that few recipes run all day. Chips it needs beyond what was left to it
cost what they are worth in the relaxation, and gangs are fitted anew to what is left in the end. It knows no recipe.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan import solve
from eke.plan.part import Part, added, part
from eke.plan.program import Bools, Program
from eke.plan.solve import Bounds, Relaxed

TIE = 1e-4
"""Share of the objective that all chips together count for when replicas are chosen."""
BEYOND = 3.0
"""A chip beyond what was left to a slot counts for so many chips, and for what it is worth."""
SLOT_S = 0.3
"""CPU seconds for one slot's program."""
LOOSE = 0.01
"""Share of the chips in use in a slot that may be wasted."""
SAME = 0.03
"""Recipes chosen before are kept while they cost no more than this share more than what all recipes could do."""
FAR = 0.05
"""Whole replicas this share worse than split ones are looked for among more recipes."""
WIDER = 150
"""Columns tried then, beside those that the relaxation uses."""
FIT_S = 3.0
"""CPU seconds to fit gangs to what is left."""


@dataclass
class _Day:
    """What is known while slots are filled.

    Attributes:
        x: the solution as far as it goes. split: the one with split replicas.
        aim: what is maximised, in chips. prices: of a unit of each pool, in chips.
        beyond: units of pools that gangs give up. chosen: recipes in use.
        same, far: as `SAME` and `FAR`; where gangs are laid out too, they count for most, and less may be lost.
    """

    program: Program
    bounds: Bounds
    aim: FloatArray
    gap: float
    x: FloatArray
    split: FloatArray
    prices: dict[str, float]
    beyond: dict[str, float]
    chosen: Bools
    recipe: IntArray
    same: float = SAME
    far: float = FAR


def whole(
    program: Program, objective: FloatArray, bounds: Bounds, split: FloatArray, relaxed: Relaxed, gap: float
) -> FloatArray | None:  # fmt: skip
    """A solution near `split` in whole replicas; None when none is found.

    Args:
        program: what is solved.
        objective: what is maximised.
        bounds: of columns.
        split: a solution with whole gangs, and replicas that may be split.
        relaxed: where prices of chips come from.
        gap: share of the objective that may be lost.
    """
    day = _day(program, objective, bounds, split, relaxed, gap)
    runs, of, weights = program.runs, slot_of(program), program.problem.weights
    moves = runs.gang & (runs.slot >= 0)
    moving = bool((split[runs.at[moves]] > 0.5).any())
    if moving:  # a gang that may move is laid out with what its slot serves
        of[runs.at[moves]] = runs.slot[moves]
        day.chosen[runs.recipe[moves]] = True
        day.same = day.far = gap
    busy = np.bincount(np.maximum(of, 0), program.spared * split * (of >= 0), minlength=len(weights)) / weights
    short = False
    for t in np.argsort(-busy, kind="stable").tolist():
        more = _fill(day, np.flatnonzero(of == t), of == t, float(weights[t]))
        if more is None:
            return None
        short |= any(v > 1e-6 for v in more.values())
        if not moving:  # a gang that stays gives way all day
            day.beyond = {p: day.beyond[p] + v for p, v in more.items()}
    return _fitted(program, objective, bounds, day.x, gap) if short else day.x


def _day(
    program: Program, objective: FloatArray, bounds: Bounds, split: FloatArray, relaxed: Relaxed, gap: float
) -> _Day:
    problem, x = program.problem, split.copy()
    for pool, column in program.aside.items():
        if objective[column] == 0.0:
            x[column] = problem.units[pool]
    chips = sum(n / problem.per_chip[p] for p, n in problem.units.items())
    tie = TIE * abs(float(objective @ split)) / max(chips, 1.0) or 1.0
    prices = {
        p: max(0.0, float(relaxed.reduced[c])) / tie + BEYOND / problem.per_chip[p] for p, c in program.aside.items()
    }
    recipe = np.full(len(program.lower), -1, dtype=np.int64)
    recipe[program.runs.at] = program.runs.recipe
    chosen = np.zeros(len(problem.recipes) + 1, dtype=bool)  # the last: columns of no recipe
    chosen[-1] = True
    aim = (objective - tie * program.spared) / tie
    return _Day(
        program, bounds, aim, gap, x, split, prices, dict.fromkeys(program.aside, 0.0), chosen, recipe
    )  # fmt: skip


def slot_of(program: Program) -> IntArray:
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


def _fill(day: _Day, at: IntArray, inside: Bools, share: float) -> dict[str, float] | None:
    """Put whole replicas into one slot of the day; the units it takes beyond what was left of each pool."""
    posed, pools = _posed(day, at, inside)
    n = len(at)
    objective = np.append(day.aim[at] / share, [-day.prices[p] for p in pools])
    integer = np.append(day.program.integer[at], np.zeros(len(pools), dtype=bool))
    recipe = np.append(day.recipe[at], np.full(len(pools), -1))
    relaxation = solve.Relaxation(posed, objective)
    best = relaxation.under((posed.lower, posed.upper))
    if best.value is None:
        return None
    slack = max(LOOSE * float(-objective[:n] @ best.x[:n]), 0.0) + 0.5
    known = day.chosen[recipe]
    found, until = None, time.process_time() + SLOT_S
    for columns in _tries(relaxation, posed, best, known, recipe, day.same):
        upper = np.where(columns, posed.upper, posed.lower)
        bounds = (posed.lower, upper)
        got = solve.search(
            posed, objective, bounds, integer, seconds=max(until - time.process_time(), SLOT_S / 3), gap=day.gap / 4,
            slack=slack,
        )  # fmt: skip
        if got.x is not None and (found is None or got.value > found.value):
            found = got
        near = found is not None and found.value >= best.value - day.far * abs(best.value) - slack
        if near or (found is not None and time.process_time() > until):
            break
    if found is None or found.x is None:
        return None
    day.x[at] = found.x[:n]
    day.chosen[recipe[found.x > 0.5]] = True
    return {pool: float(v) for pool, v in zip(pools, found.x[n:], strict=True)}


def _tries(
    relaxation: solve.Relaxation, posed: Part, best: Relaxed, known: Bools, recipe: IntArray, same: float
) -> list[Bools]:
    """Sets of columns worth a try: of recipes in use, those the relaxation uses, and some more."""
    assert best.value is not None
    tries = []
    if known[recipe >= 0].any():
        here = relaxation.under((posed.lower, np.where(known, posed.upper, posed.lower)))
        if here.value is not None and here.value >= best.value - same * abs(best.value):
            tries.append(known)
    used = known | (best.x > 1e-9)
    cheapest = np.argsort(np.where(used, -np.inf, -best.reduced))[: int(used.sum()) + WIDER]
    wide = np.zeros(len(used), dtype=bool)
    wide[cheapest] = True
    if not tries or (used & ~known).any():
        tries.append(used)
    return [*tries, wide]


def _posed(day: _Day, at: IntArray, inside: Bools) -> tuple[Part, list[str]]:
    """A slot's program, and the pools whose chips beyond what is left its last columns stand for."""
    program = day.program
    pool_of = {column: pool for pool, column in program.aside.items()}
    posed = part(program, day.bounds, np.where(inside, 0.0, day.x), at)
    shared = _joint(program, inside, posed.row_of)
    done = np.bincount(posed.rows, posed.entries * day.split[at][posed.columns], minlength=len(posed.row_of))
    lower = np.where(shared & np.isfinite(posed.row_lower), done - 1e-9, posed.row_lower)
    upper = np.where(shared & np.isfinite(posed.row_upper), done + 1e-9, posed.row_upper)
    aside = np.isin(program.columns, list(pool_of)) & np.isin(program.rows, posed.row_of)
    rows = np.searchsorted(posed.row_of, program.rows[aside])
    pools = [pool_of[c] for c in program.columns[aside].tolist()]
    upper[rows] += [day.beyond[p] for p in pools]
    room = np.maximum(0.0, np.array([float(program.problem.units[p]) for p in pools]) - np.maximum(upper[rows], 0.0))
    return added(replace(posed, row_lower=lower, row_upper=upper), rows, room, -1.0), pools


def _joint(program: Program, inside: Bools, row_of: IntArray) -> Bools:
    """Rows that replicas of other slots have a part in too."""
    others = np.zeros(len(program.lower), dtype=bool)
    others[program.runs.at[~program.runs.gang]] = True
    joint = np.zeros(len(program.row_lower), dtype=bool)
    joint[program.rows[(others & ~inside)[program.columns]]] = True
    return joint[row_of]


def _fitted(program: Program, objective: FloatArray, bounds: Bounds, x: FloatArray, gap: float) -> FloatArray | None:
    """The best gangs beside the replicas of `x`."""
    held = program.runs.at[~program.runs.gang]
    lower, upper = bounds[0].copy(), bounds[1].copy()
    lower[held] = upper[held] = np.round(x[held])
    gangs = np.zeros(len(x), dtype=bool)
    gangs[program.runs.at[program.runs.gang]] = True
    return solve.search(program, objective, (lower, upper), gangs, seconds=FIT_S, gap=gap / 4).x
