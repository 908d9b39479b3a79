"""Solves a program: its relaxation, the integer program on the columns that can matter, and the bound.

The only file that touches HiGHS. It knows rows and columns; not what they mean.

Bound. Let L be the relaxation's value and r_k ≥ 0 what one unit of an integer column k that the relaxation leaves at 0
costs there at least (its reduced cost). A plan that uses a column left out of the integer program reaches at most L -
min r_k; one that does not reaches at most the integer program's own bound B. So no plan at all exceeds max(B, L - min
r_k), nor L.

Limits are CPU seconds of this process, not time on the clock: a busy machine takes longer and finds the same plan.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan.part import Rows, part, stand
from eke.plan.program import Bools, Program

KEPT, ALL = 1500, 15_000
"""Integer columns kept for the integer program, those of least reduced cost, where there are more than `ALL`."""

IDLE = ("feasibility_jump", "root_reduced_cost")
"""Heuristics that took a quarter to a half of the time of small programs, for nothing."""

Bounds = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class Posed:
    """Rows that stand by themselves."""

    lower: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    rows: IntArray
    columns: IntArray
    entries: FloatArray


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The relaxation: `value` is None when it has no solution."""

    value: float | None
    x: FloatArray
    row_dual: FloatArray
    reduced: FloatArray


NOTHING = Relaxed(None, np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan's columns, its value, and the value no plan exceeds.

    Attributes:
        x: None when there is none, or none was found in time.
        proven: the relaxation itself has no solution, or the search was exhausted: no plan exists.
    """

    x: FloatArray | None
    value: float
    bound: float
    relaxed: Relaxed
    proven: bool = False


class Relaxation:
    """One program's relaxation, solved again and again under other column bounds, each time from where it was; at first
    from where one `like` it is.
    """

    def __init__(self, program: Rows, objective: FloatArray, like: Relaxation | None = None) -> None:
        n = len(objective)
        self._solver = _model(program, objective, (np.zeros(n), np.zeros(n)), np.zeros(n, dtype=bool))
        self._solver.setOptionValue("presolve", "off")  # it takes longer than it saves: rows are few and sparse
        if like is not None:
            self._solver.setBasis(like._solver.getBasis())
        self._all = np.arange(n, dtype=np.int32)

    def aim(self, objective: FloatArray) -> None:
        """Maximise another objective from now on."""
        self._solver.changeColsCost(len(self._all), self._all, objective)

    def under(self, bounds: Bounds) -> Relaxed:
        """The best solution with all columns continuous."""
        h = self._solver
        h.changeColsBounds(len(self._all), self._all, bounds[0], bounds[1])
        h.run()
        if h.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return NOTHING
        s, value = h.getSolution(), float(h.getInfo().objective_function_value)
        return Relaxed(value, np.array(s.col_value), np.array(s.row_dual), np.array(s.col_dual))

    def prices(self, objective: FloatArray) -> FloatArray:
        """Row prices y of another objective at the last solution [rows]: those under which no basic column lacks any of
        it, y_B B = c_B.
        """
        h = self._solver
        basic = np.asarray(h.getBasicVariables()[1])  # -1 - i: the slack of row i
        sought = np.where(basic >= 0, objective[np.maximum(basic, 0)], 0.0)
        status, found = h.getBasisTransposeSolve(sought)
        if status != highspy.HighsStatus.kOk:  # presolve solved it all: the basis is known, but not its inverse
            h.setOptionValue("presolve", "off")
            h.run()
            h.setOptionValue("presolve", "choose")
            status, found = h.getBasisTransposeSolve(sought)
        assert status == highspy.HighsStatus.kOk
        return np.asarray(found)


def relax(program: Rows, objective: FloatArray, bounds: Bounds) -> Relaxed:
    """Maximise `objective` with all columns continuous."""
    return Relaxation(program, objective).under(bounds)


def optimise(
    program: Program, objective: FloatArray, bounds: Bounds, *, seconds: float = 5.0, gap: float = 2e-3,
    relaxed: Relaxed | None = None, start: FloatArray | None = None,
) -> Outcome:  # fmt: skip
    """Maximise `objective` in whole replicas, to within `gap` if `seconds` allow.

    Args:
        program: what is solved.
        objective: what is maximised.
        bounds: of columns.
        seconds: CPU time.
        gap: relative.
        relaxed: the relaxation under `bounds`, where it is known.
        start: a whole solution to improve on.
    """
    relaxed = relaxed or relax(program, objective, bounds)
    if relaxed.value is None:
        return Outcome(None, -np.inf, -np.inf, relaxed, proven=True)
    cost = np.maximum(-relaxed.reduced, 0.0)
    left_out = _left_out(program.integer & (bounds[1] > bounds[0]), relaxed, cost)
    if start is not None:
        left_out &= start < 0.5
    upper = np.where(left_out, bounds[0], bounds[1])
    found = search(program, objective, (bounds[0], upper), program.integer, seconds=seconds, gap=gap, start=start)
    if found.x is None and left_out.any():
        left_out[:] = False
        found = search(program, objective, bounds, program.integer, seconds=seconds, gap=gap)
    outside = relaxed.value - float(cost[left_out].min()) if left_out.any() else -np.inf
    bound = min(relaxed.value, max(found.bound, outside))
    return Outcome(found.x, found.value, bound, relaxed, proven=found.x is None and found.exhausted)


def _left_out(free: Bools, relaxed: Relaxed, cost: FloatArray) -> Bools:
    """Of the `free` integer columns those the relaxation leaves at 0, but for the cheapest `KEPT` of all."""
    idle, n = free & (relaxed.x < 1e-9), int(free.sum())
    spare = min(n - KEPT, int(idle.sum()))
    left_out = np.zeros(len(cost), dtype=bool)
    if n > ALL and spare > 0:
        left_out[np.argsort(np.where(idle, cost, -1.0))[-spare:]] = True
    return left_out


@dataclass(frozen=True, slots=True)
class Found:
    """Whole solution (or None), its value, the bound of the search, and whether the search ended by itself."""

    x: FloatArray | None
    value: float
    bound: float
    exhausted: bool


def search(
    program: Rows, objective: FloatArray, bounds: Bounds, integer: Bools, *, seconds: float, gap: float,
    slack: float = 0.0, start: FloatArray | None = None,
) -> Found:  # fmt: skip
    """Maximise with the columns in `integer` whole: to within `gap` of the value or `slack` in all. Columns that
    cannot move are not asked about.
    """
    free = np.flatnonzero(bounds[1] > bounds[0])
    of = part(program, bounds, bounds[0], free)
    if not stand(program, bounds[0], np.setdiff1d(np.arange(len(program.row_lower)), of.row_of)):
        return Found(None, -np.inf, -np.inf, exhausted=True)
    if not len(free):
        value = float(objective @ bounds[0])
        return Found(bounds[0].copy(), value, value, exhausted=True)
    stands = float(objective @ bounds[0] - objective[free] @ bounds[0][free])
    h = _model(of, objective[free], (of.lower, of.upper), integer[free], stands)
    h.setOptionValue("mip_rel_gap", gap)
    h.setOptionValue("mip_abs_gap", max(slack, 1e-9))
    for heuristic in IDLE:
        h.setOptionValue(f"mip_heuristic_run_{heuristic}", False)
    if start is not None:
        given = highspy.HighsSolution()
        given.col_value = start[free].tolist()
        h.setSolution(given)
    until = time.process_time() + seconds

    def stop(event: Any) -> None:
        if time.process_time() > until:
            event.interrupt()

    h.cbMipInterrupt.subscribe(stop)
    h.run()
    if h.getModelStatus() == highspy.HighsModelStatus.kSolveError:  # presolve spent a row's tolerance twice
        h.setOptionValue("presolve", "off")
        h.run()
    info, status = h.getInfo(), h.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return Found(None, -np.inf, -np.inf, exhausted=True)
    if info.primal_solution_status != 2:  # kSolutionStatusFeasible
        return Found(None, -np.inf, np.inf, exhausted=False)
    x = bounds[0].copy()
    x[free] = h.getSolution().col_value
    x[integer] = np.round(x[integer])
    value = float(objective @ x)
    return Found(x, value, float(info.mip_dual_bound) if integer[free].any() else value, exhausted=True)


def _model(program: Rows, objective: FloatArray, bounds: Bounds, integer: Bools, offset: float = 0.0) -> Any:
    order = np.lexsort((program.rows, program.columns))
    n, m = len(program.lower), len(program.row_lower)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n, m
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = objective, bounds[0], bounds[1]
    lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(program.columns, minlength=n))]).astype(np.int32)
    lp.a_matrix_.index_ = program.rows[order].astype(np.int32)
    lp.a_matrix_.value_ = program.entries[order]
    lp.offset_ = offset
    lp.sense_ = highspy.ObjSense.kMaximize
    if integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(i)] for i in integer]
    h: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    h.setOptionValue("output_flag", False)
    h.passModel(lp)
    return h
