"""The ways training may be laid out, taken apart: each job alone or in parts over several pools, of one size all day or
not.

A relaxation that may mix these ways is far looser than any of them. The tree of ways is searched best bound first: a
job at a time is held to one way, and where all are, the program is solved. Every plan is in one of the ways, so the
largest bound of those left is a bound.

A way is solved in three steps, each only where the one before leaves a gap: gangs in whole, replicas split (a small
program, and a far better bound than the relaxation's); whole replicas slot by slot; all at once from there.
It knows the program's columns, not what they are worth.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field, replace

import numpy as np

from eke.cost import FloatArray
from eke.plan import slots, solve
from eke.plan.program import Bools, Program
from eke.plan.solve import Bounds, Outcome, Relaxation, Relaxed

WAYS = tuple((moves, joins) for joins in (True, False) for moves in (False, True))
ENOUGH = 5e-3
"""Where the best plan known is so near a way's bound, that way is gone over for no more than `POLISH_S`."""
GANGS = 0.25
"""Share of the gap that the program of whole gangs may leave."""
CLOSE, POLISH_S = 0.1, 1.0
"""A way that leaves less than the gap, but more than this share of it, is gone over once more, for so many CPU seconds:
a few chips too many are a small gap, and yet a rule of thumb may do without them."""
TRIES = 32
"""Relaxations solved for the best way."""
MOVING = 5e-3
"""Share of the objective that gangs which move through the day must bring: less is not worth their restarts."""
AT_ONCE, POOR = 20_000, 0.02
"""With more whole columns than this, all at once is tried only where slots one by one lose more than that share."""


def optimise(
    program: Program, objective: FloatArray, bounds: Bounds, *, seconds: float = 5.0, gap: float = 2e-3,
    moving: float = MOVING,
) -> Outcome:  # fmt: skip
    """Maximise `objective` over every way training may be laid out, in `seconds` of CPU time or a little more.

    A way with gangs that move is taken where it brings the share `moving` more than the best without; the bound is that
    of all ways.
    """
    until = time.process_time() + seconds
    relaxation = Relaxation(program, objective)
    whole = relaxation.under(bounds)
    if whole.value is None:
        return Outcome(None, -np.inf, -np.inf, whole, proven=True)
    jobs, charge = _jobs(program), moving * abs(whole.value)
    left = [_Way(-whole.value, 0, 0, False, whole, bounds[1])]
    best, score, bound, proven, count = Outcome(None, -np.inf, -np.inf, whole), -np.inf, -np.inf, True, 0
    while left:
        at = heapq.heappop(left)
        assert at.relaxed.value is not None
        less = charge * at.moves
        if best.x is not None and at.relaxed.value - less <= score + _slack(best.value, gap / 4):
            bound = max(bound, at.relaxed.value)
            continue
        if at.depth < len(jobs):
            for moves, upper in _held(program, jobs[at.depth], at.upper):
                held = relaxation.under((bounds[0], upper))
                if held.value is not None:
                    count, moves = count + 1, moves or at.moves
                    heapq.heappush(left, _Way(charge * moves - held.value, count, at.depth + 1, moves, held, upper))
            continue
        found = _solved(
            program,
            objective,
            (bounds[0], at.upper),
            at.relaxed,
            max(0.5, until - time.process_time()),
            gap,
            score + less,
        )
        proven &= found.proven or found.x is not None
        bound = max(bound, found.bound)
        if found.x is not None and (best.x is None or found.value - less > score):
            best, score = found, found.value - less
    return replace(best, bound=min(whole.value, bound), relaxed=whole, proven=best.x is None and proven)


def best(program: Program, relaxation: Relaxation, bounds: Bounds) -> Relaxed:
    """What the relaxation reaches where every job is held to one way, in the best of them: more no plan does.

    After `TRIES` ways the best of those left is taken as it is, some jobs mixed.
    """
    whole, jobs = relaxation.under(bounds), _jobs(program)
    if whole.value is None:
        return whole
    left, count = [(-whole.value, 0, 0, whole, bounds[1])], 0
    while left and -left[0][1] < len(jobs) and count < TRIES:
        _, depth, _, _, upper = heapq.heappop(left)
        for _, mine in _held(program, jobs[-depth], upper):
            held, count = relaxation.under((bounds[0], mine)), count + 1
            if held.value is not None:
                heapq.heappush(left, (-held.value, depth - 1, count, held, mine))
    return left[0][3] if left else solve.NOTHING


@dataclass(frozen=True, slots=True, order=True)
class _Way:
    """A way of some jobs, yet to be looked into: the first is the best.

    Attributes:
        rank, count: what ways are ordered by. depth: jobs that are held to a way. moves: whether one of them moves.
    """

    rank: float
    count: int
    depth: int = field(compare=False)
    moves: bool = field(compare=False)
    relaxed: Relaxed = field(compare=False)
    upper: FloatArray = field(compare=False)


def _slack(value: float, gap: float) -> float:
    return abs(value) * gap


@dataclass(frozen=True, slots=True)
class _Job:
    """Run columns of one job, by the way they belong to."""

    of_way: dict[tuple[bool, bool], Bools]


def _jobs(program: Program) -> list[_Job]:
    """Training jobs that may be laid out in more than one way."""
    runs, recipes = program.runs, program.problem.recipes
    moving = runs.slot >= 0
    joint = np.array([bool(r.joint) for r in recipes], dtype=bool)[runs.recipe]
    names = np.array([r.workload if r.kind == "train" else "" for r in recipes])[runs.recipe]
    jobs = []
    for name in sorted(set(names.tolist()) - {""}):
        of_way = {(m, j): (names == name) & (moving == m) & (joint == j) for m, j in WAYS}
        jobs.append(_Job({way: mine for way, mine in of_way.items() if mine.any()}))
    return [job for job in jobs if len(job.of_way) > 1]


def _held(program: Program, job: _Job, upper: FloatArray) -> list[tuple[bool, FloatArray]]:
    """For each way the job may be laid out, whether it moves, and upper bounds of columns."""
    held = []
    for way in job.of_way:
        mine = upper.copy()
        for other, columns in job.of_way.items():
            if other != way:
                mine[program.runs.at[columns]] = 0.0
        held.append((way[0], mine))
    return held


def _solved(
    program: Program, objective: FloatArray, bounds: Bounds, relaxed: Relaxed, seconds: float, gap: float, beat: float
) -> Outcome:
    """The best of one way; nothing but its bound where that does not pass `beat`, what another way gives already."""
    assert relaxed.value is not None
    gangs = np.zeros(len(program.lower), dtype=bool)
    gangs[program.runs.at[program.runs.gang]] = True
    gangs[list(program.started.values())] = True
    split, value, bound = relaxed.x, relaxed.value, relaxed.value
    if np.abs(split[gangs] - np.round(split[gangs])).max(initial=0.0) > 1e-6:
        found = solve.search(program, objective, bounds, gangs, seconds=seconds, gap=gap * GANGS)
        bound = min(bound, found.bound)
        if found.x is None:
            return Outcome(None, -np.inf, bound, relaxed, proven=found.exhausted)
        if bound <= beat:
            return Outcome(None, -np.inf, bound, relaxed)
        split = found.x
    x = slots.whole(program, objective, bounds, split, relaxed, gap)
    value = -np.inf if x is None else float(objective @ x)
    if x is not None and bound - value <= _slack(value, gap * CLOSE):
        return Outcome(x, value, bound, relaxed)
    if bound - max(value, beat) <= _slack(bound, ENOUGH):
        seconds = min(seconds, POLISH_S)
    if bound - value <= _slack(value, gap):
        gap = gap * CLOSE
    wide = int((program.integer & (bounds[1] > bounds[0])).sum()) > AT_ONCE
    if x is not None and wide and bound - value <= _slack(bound, POOR):
        return Outcome(x, value, bound, relaxed)
    found_all = solve.optimise(program, objective, bounds, seconds=seconds, gap=gap, relaxed=relaxed, start=x)
    if x is not None and (found_all.x is None or found_all.value < value):
        return Outcome(x, value, min(bound, found_all.bound), relaxed)
    return replace(found_all, bound=min(bound, found_all.bound))
