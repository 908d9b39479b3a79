"""When not all promises can be kept: what is kept instead, by priority. It knows the program; not how recipes come
about.

First every workload runs at all, on its smallest recipe, the most important ones first; then what is left goes into
promises, the most important ones first; then into the scenario's objective. Each step keeps what the steps before it
reached.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eke.cost import FloatArray
from eke.plan import branches
from eke.plan.program import Problem, Program
from eke.plan.solve import Outcome

SLACK = 1e-6
"""How much of an earlier step a later one may give up: what the solver's tolerances need."""


def usable(problem: Problem) -> Problem:
    """Recipes that keep the latency promise; for a workload that has none anywhere, those that break it."""
    whole = [r for r in problem.recipes if not r.part]
    holding = {r.workload for r in whole if r.holds}
    return replace(problem, recipes=tuple(r for r in whole if r.holds or r.workload not in holding))


def optimise(program: Program, objective: FloatArray, seconds: float) -> Outcome:
    """The lexicographic best: workloads that run, promises, objective."""
    levels = sorted({w.priority for w in program.problem.workloads})
    aims = [_running(program, level) for level in levels] + [_promises(program, level) for level in levels]
    bounds = (program.lower, program.upper)
    for aim in aims:
        if not aim.any():
            continue
        reached = branches.optimise(program, aim, bounds, seconds=seconds / len(aims), gap=1e-4)
        if reached.x is None:
            continue
        program = _at_least(program, aim, float(aim @ reached.x))
    return branches.optimise(program, objective, bounds, seconds=seconds, gap=2e-3)


def _running(program: Program, priority: int) -> FloatArray:
    c = np.zeros(len(program.lower))
    for w in program.problem.workloads:
        if w.priority == priority:
            c[program.started[w.name]] = 1.0
    return c


def _promises(program: Program, priority: int) -> FloatArray:
    kept = [program.kept(w.name) for w in program.problem.workloads if w.priority == priority]
    return np.sum(kept, axis=0)  # type: ignore[no-any-return]


def _at_least(program: Program, aim: FloatArray, value: float) -> Program:
    """The program with one more row: aim·x ≥ value."""
    columns = np.flatnonzero(aim)
    row = len(program.row_lower)
    return replace(
        program,
        row_lower=np.append(program.row_lower, value - SLACK * max(1.0, abs(value))),
        row_upper=np.append(program.row_upper, np.inf),
        rows=np.concatenate([program.rows, np.full(len(columns), row)]),
        columns=np.concatenate([program.columns, columns]),
        entries=np.concatenate([program.entries, aim[columns]]),
    )
