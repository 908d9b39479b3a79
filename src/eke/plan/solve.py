"""Solves a program: the relaxation first, then the integer program on the columns that can matter, then the bound.

The only file that touches HiGHS. It knows rows and columns; not what they mean.

Bound. Let L be the relaxation's value and r_k ≥ 0 what one unit of an integer column k that the relaxation leaves at 0
costs there at least (its reduced cost). A plan that uses a column left out of the integer program reaches at most L -
min r_k; one that does not reaches at most the integer program's own bound B. So no plan at all exceeds max(B, L - min
r_k), nor L.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from eke.cost import FloatArray
from eke.plan.program import Bools, Program

KEPT = 1500
"""Integer columns kept for the integer program: those of least reduced cost."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The relaxation: `value` is None when it has no solution."""

    value: float | None
    x: FloatArray
    row_dual: FloatArray
    reduced: FloatArray


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


def relax(program: Program, objective: FloatArray, bounds: tuple[FloatArray, FloatArray]) -> Relaxed:
    """Maximise `objective` with all columns continuous."""
    h = _model(program, objective, bounds, np.zeros(len(objective), dtype=bool))
    h.run()
    if h.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        none = np.zeros(0)
        return Relaxed(None, none, none, none)
    s = h.getSolution()
    return Relaxed(
        float(h.getInfo().objective_function_value), np.array(s.col_value), np.array(s.row_dual), np.array(s.col_dual)
    )


def optimise(
    program: Program, objective: FloatArray, bounds: tuple[FloatArray, FloatArray], *, seconds: float = 5.0,
    gap: float = 2e-3,
) -> Outcome:  # fmt: skip
    """Maximise `objective` in whole replicas, to within `gap` if `seconds` allow."""
    relaxed = relax(program, objective, bounds)
    if relaxed.value is None:
        return Outcome(None, -np.inf, -np.inf, relaxed, proven=True)
    cost = np.maximum(-relaxed.reduced, 0.0)
    left_out = _left_out(program.integer & (bounds[1] > bounds[0]), relaxed, cost)
    upper = np.where(left_out, bounds[0], bounds[1])
    x, value, bound, exhausted = _search(program, objective, (bounds[0], upper), seconds, gap)
    if x is None and left_out.any():
        left_out[:] = False
        x, value, bound, exhausted = _search(program, objective, bounds, seconds, gap)
    outside = relaxed.value - float(cost[left_out].min()) if left_out.any() else -np.inf
    return Outcome(x, value, min(relaxed.value, max(bound, outside)), relaxed, proven=x is None and exhausted)


def _left_out(free: Bools, relaxed: Relaxed, cost: FloatArray) -> Bools:
    """Of the `free` integer columns those the relaxation leaves at 0, but for the cheapest `KEPT` of all."""
    idle = free & (relaxed.x < 1e-9)
    spare = min(int(free.sum()) - KEPT, int(idle.sum()))
    left_out = np.zeros(len(cost), dtype=bool)
    if spare > 0:
        left_out[np.argsort(np.where(idle, cost, -1.0))[-spare:]] = True
    return left_out


def _search(
    program: Program, objective: FloatArray, bounds: tuple[FloatArray, FloatArray], seconds: float, gap: float
) -> tuple[FloatArray | None, float, float, bool]:
    """Whole solution (or None), its value, the bound of the search, and whether the search ended by itself."""
    h = _model(program, objective, bounds, program.integer)
    h.setOptionValue("time_limit", seconds)
    h.setOptionValue("mip_rel_gap", gap)
    h.run()
    info, status = h.getInfo(), h.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return None, -np.inf, -np.inf, True
    if info.primal_solution_status != 2:  # kSolutionStatusFeasible
        return None, -np.inf, np.inf, False
    x = np.array(h.getSolution().col_value)
    x[program.integer] = np.round(x[program.integer])
    return x, float(objective @ x), float(info.mip_dual_bound) if program.integer.any() else float(objective @ x), True


def _model(program: Program, objective: FloatArray, bounds: tuple[FloatArray, FloatArray], integer: Bools) -> Any:
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
    lp.sense_ = highspy.ObjSense.kMaximize
    if integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(i)] for i in integer]
    h: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    h.setOptionValue("output_flag", False)
    h.passModel(lp)
    return h
