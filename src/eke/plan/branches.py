"""The ways training may be laid out, taken apart: each job alone or in parts over several pools, of one size all day or
not.

A relaxation that may mix these ways is far looser than any of them. The tree of ways is searched best bound first: a
job at a time is held to one way, and where all are, the program is solved. Every plan is in one of the ways, so the
largest bound of those left is a bound. A way is no better than what it is a part of, and is asked about only where
that does not do.

A way is solved in steps, each only where the one before leaves a gap: in whole replicas, of the columns worth a try;
gangs in whole, replicas split, for a far better bound than the relaxation's; more columns from there.
It knows the program's columns, not what they are worth.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from eke.cost import FloatArray
from eke.plan import solve
from eke.plan.program import Bools, Program
from eke.plan.solve import Bounds, Outcome, Relaxation, Relaxed

WAYS = tuple((moves, joins) for joins in (True, False) for moves in (False, True))
GANGS = 0.25
"""Share of the gap that the program of whole gangs may leave."""
CLOSE, POLISH_S = 0.25, 1.0
"""A way that leaves less than the gap, but more than this share of it, is gone over once more, for so many CPU seconds:
a few chips too many are a small gap, and yet a rule of thumb may do without them."""
FEW, MORE, FEW_S = ((1, 8, 2), (4, 40, 8)), ((8, 60, 12),), 2.0
"""Columns tried, first few, and more once the bound is known: of each workload and slot so many recipes of least
reduced cost, of each job and pool so many sizes of a gang, if it stays and if it moves. CPU seconds for each set."""
HARDLY = 0.1
"""Share of what is missing to the bound that a set of columns must bring for a larger one to be tried."""
TRIES = 32
"""Relaxations solved for the best way."""
MOVING = 5e-3
"""Share of the objective that gangs which move through the day must bring: less is not worth their restarts."""


class Ways:
    """The ways of one program, and what is known of them."""

    def __init__(
        self, program: Program, objective: FloatArray, bounds: Bounds, *, moving: float = MOVING,
        like: Relaxation | None = None,
    ) -> None:  # fmt: skip
        """Ask the relaxation that mixes them all.

        Args:
            program: what is solved.
            objective: what is maximised.
            bounds: of columns.
            moving: share of the objective that a way with gangs that move must bring more than the best without.
            like: a relaxation whose solution is near.
        """
        self._program, self._objective, self._bounds = program, objective, bounds
        self._relaxation = Relaxation(program, objective, like)
        self.whole = self._relaxation.under(bounds)
        self._jobs, self._count, self._passed = _jobs(program), count(), -np.inf
        self._charge = moving * abs(self.whole.value or 0.0)
        self._left: list[_Way] = []
        if self.whole.value is not None:
            self._put(self.whole.value, 0, False, self.whole, bounds[1], known=True)

    @property
    def reach(self) -> float:
        """What no way passes, as far as is known."""
        return max((self._passed, *(way.value for way in self._left)))

    def best(self) -> float:
        """What the best way's relaxation reaches, less what moving costs; -∞ where there is none.

        After `TRIES` relaxations the best of those left is taken as it is, some jobs mixed.
        """
        at = self._leaf(-np.inf, TRIES)
        if at is None:
            return -np.inf
        heapq.heappush(self._left, at)
        return -at.rank

    def optimise(self, *, seconds: float = 5.0, gap: float = 2e-3, beat: float | None = None) -> Outcome:
        """Maximise over every way, in `seconds` of CPU time or a little more; the bound is that of all ways.

        With `beat`, what is reached elsewhere, for the bound alone: gangs are whole, replicas may be split.
        """
        until, split = time.process_time() + seconds, beat is not None
        best, score = Outcome(None, -np.inf, -np.inf, self.whole), -np.inf if beat is None else beat
        proven, reached = True, beat or 0.0
        while (at := self._leaf(score + _slack(reached, gap / 4))) is not None:
            left, less = max(0.5, until - time.process_time()), self._charge * at.moves
            bounds = self._bounds[0], at.upper
            found = _solved(
                self._program, self._objective, bounds, at.relaxed, left, gap, score + less, split=split
            )  # fmt: skip
            proven &= found.proven or found.x is not None
            self._passed = max(self._passed, found.bound)
            if found.x is not None and (best.x is None or found.value - less > score):
                best, score, reached = found, found.value - less, found.value
        bound = min(-np.inf if self.whole.value is None else self.whole.value, self._passed)
        return replace(best, bound=bound, relaxed=self.whole, proven=best.x is None and proven)

    def _leaf(self, score: float, tries: int | None = None) -> _Way | None:
        """The best way left, every job held to one; None where none passes `score`."""
        while self._left:
            at = heapq.heappop(self._left)
            if -at.rank <= score and (at.known or at.value <= max(self._passed, score)):
                self._passed = max(self._passed, at.value)
            elif not at.known:
                held = self._relaxation.under((self._bounds[0], at.upper))
                tries = None if tries is None else tries - 1
                if held.value is not None:
                    self._put(min(held.value, at.value), at.depth, at.moves, held, at.upper, known=True)
            elif at.depth == len(self._jobs) or tries == 0:
                return at
            else:
                job = self._jobs[at.depth]
                for moves, upper in job.held(self._program, at.upper, at.relaxed.x):
                    self._put(at.value, at.depth + 1, at.moves or moves, at.relaxed, upper, known=False)
        return None

    def _put(self, value: float, depth: int, moves: bool, relaxed: Relaxed, upper: FloatArray, *, known: bool) -> None:
        rank = self._charge * moves - value
        heapq.heappush(self._left, _Way(rank, -depth, next(self._count), value, moves, relaxed, upper, known))


def optimise(
    program: Program, objective: FloatArray, bounds: Bounds, *, seconds: float = 5.0, gap: float = 2e-3,
    moving: float = MOVING,
) -> Outcome:  # fmt: skip
    """Maximise `objective` over every way training may be laid out: see `Ways`."""
    return Ways(program, objective, bounds, moving=moving).optimise(seconds=seconds, gap=gap)


@dataclass(frozen=True, slots=True, order=True)
class _Way:
    """A way of some jobs, yet to be looked into: the first is the best.

    Attributes:
        rank, shallow, count: what ways are ordered by; of equal ones, those that hold more jobs.
        value: no plan in it passes that. moves: whether one of the jobs moves.
        relaxed, known: its relaxation, or what it is a part of.
    """

    rank: float
    shallow: int
    count: int
    value: float = field(compare=False)
    moves: bool = field(compare=False)
    relaxed: Relaxed = field(compare=False)
    upper: FloatArray = field(compare=False)
    known: bool = field(compare=False)

    @property
    def depth(self) -> int:
        """Jobs that are held to a way."""
        return -self.shallow


def _slack(value: float, gap: float) -> float:
    return abs(value) * gap


@dataclass(frozen=True, slots=True)
class _Job:
    """Run columns of one job, by the way they belong to."""

    of_way: dict[tuple[bool, bool], Bools]

    def held(self, program: Program, upper: FloatArray, x: FloatArray) -> list[tuple[bool, FloatArray]]:
        """For each way the job may be laid out, whether it moves, and upper bounds of columns; first the way that is
        used most in `x`.
        """
        at = program.runs.at
        used = {way: float(x[at[mine]].sum()) for way, mine in self.of_way.items()}
        held = []
        for way in sorted(self.of_way, key=lambda way: -round(used[way], 6)):
            mine = upper.copy()
            for other, columns in self.of_way.items():
                if other != way:
                    mine[at[columns]] = 0.0
            held.append((way[0], mine))
        return held


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


def _solved(
    program: Program, objective: FloatArray, bounds: Bounds, relaxed: Relaxed, seconds: float, gap: float, beat: float,
    *, split: bool,
) -> Outcome:  # fmt: skip
    """The best of one way; nothing but its bound where that does not pass `beat`, what another way gives already, or
    replicas are `split`.
    """
    assert relaxed.value is not None
    x, value, bound, stuck = None, -np.inf, relaxed.value, False
    if not split:
        x, value, stuck = _tried(program, objective, bounds, relaxed, FEW, None, bound, seconds, gap * CLOSE)
    if x is not None and bound - value <= _slack(value, gap * CLOSE):
        return Outcome(x, value, bound, relaxed)
    gangs = np.zeros(len(program.lower), dtype=bool)
    gangs[program.runs.at[program.runs.gang]] = True
    gangs[list(program.started.values())] = True
    if np.abs(relaxed.x[gangs] - np.round(relaxed.x[gangs])).max(initial=0.0) > 1e-6:
        found = solve.search(program, objective, bounds, gangs, seconds=seconds, gap=gap * GANGS, start=x)
        bound = min(bound, found.bound)
        if found.x is None and x is None:
            return Outcome(None, -np.inf, bound, relaxed, proven=found.exhausted)
    if split or bound <= beat:
        return Outcome(None, -np.inf, bound, relaxed)
    if not stuck:
        x, value, _ = _tried(program, objective, bounds, relaxed, MORE, x, bound, seconds, gap * CLOSE)
    if x is not None and bound - value <= _slack(value, gap * CLOSE):
        return Outcome(x, value, bound, relaxed)
    if bound - max(value, beat) <= _slack(bound, gap):
        seconds, gap = min(seconds, POLISH_S), gap * CLOSE
    found_all = solve.optimise(program, objective, bounds, seconds=seconds, gap=gap, relaxed=relaxed, start=x)
    if x is not None and (found_all.x is None or found_all.value < value):
        return Outcome(x, value, min(bound, found_all.bound), relaxed)
    return replace(found_all, bound=min(bound, found_all.bound))


def _tried(
    program: Program, objective: FloatArray, bounds: Bounds, relaxed: Relaxed, sets: Sequence[tuple[int, int, int]],
    x: FloatArray | None, bound: float, seconds: float, gap: float,
) -> tuple[FloatArray | None, float, bool]:  # fmt: skip
    """The best plan of these sets of columns, one after the other from `x` on, until one is near the bound, and whether
    a set hardly brought anything: a larger one, searched more slowly, is then not tried.
    """
    value = -np.inf if x is None else float(objective @ x)
    for few in sets:
        if x is not None and bound - value <= _slack(value, gap):
            break
        tried = _worth_a_try(program, bounds, relaxed, *few)
        if x is not None:
            tried |= x > 0.5
        within, limit = (bounds[0], np.where(tried, bounds[1], bounds[0])), min(seconds, FEW_S)
        got = solve.search(program, objective, within, program.integer, seconds=limit, gap=gap, start=x)
        stuck = x is not None and got.value - value <= HARDLY * (bound - value)
        x, value = (got.x, got.value) if got.value > value else (x, value)
        if stuck:
            return x, value, True
    return x, value, False


def _worth_a_try(program: Program, bounds: Bounds, relaxed: Relaxed, few: int, stay: int, move: int) -> Bools:
    """Columns that most likely make a plan: what the relaxation uses and what costs least, of each workload in each
    slot so many as `FEW` says.
    """
    runs, recipes = program.runs, program.problem.recipes
    tried = ~program.integer | (relaxed.x > 1e-9)
    for kept in program.reserves:
        tried[kept.used] = True
    tried[list(program.started.values())] = True
    # A gang's sizes are told apart by pool too: those of one job may be parts.
    places: dict[tuple[str, str], int] = {}
    kind = [places.setdefault((r.workload, r.pool if r.kind == "train" else ""), len(places)) for r in recipes]
    group = np.array(kind, dtype=np.int64)[runs.recipe] * (len(program.problem.weights) + 1) + runs.slot + 1
    most = np.where(runs.gang, np.where(runs.slot < 0, stay, move), few)
    free = bounds[1][runs.at] > bounds[0][runs.at]
    cost = np.where(free, np.maximum(-relaxed.reduced[runs.at], 0.0), np.inf)
    order = np.lexsort((cost, group))
    begins = np.searchsorted(group[order], group[order])
    tried[runs.at[order[np.arange(len(order)) - begins < most[order]]]] = True
    return tried
