"""When not all promises can be kept: what is kept instead, by priority. It knows the program; not how recipes come
about.

First every workload runs at all, on its smallest recipe, the most important ones first; then what is left goes into
promises, the most important ones first; then into the scenario's objective. Each step keeps what the steps before it
reached.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from eke.cost import FloatArray
from eke.plan import branches
from eke.plan.plan import Kept, Plan
from eke.plan.program import Problem, Program
from eke.plan.scenario import Train, Workload
from eke.plan.solve import Outcome

SLACK = 1e-6
"""How much of an earlier step a later one may give up: what the solver's tolerances need."""


def usable(problem: Problem) -> Problem:
    """Recipes that keep the latency promise; for a workload that has none anywhere, those that break it."""
    whole = [r for r in problem.recipes if not r.part]
    holding = {r.workload for r in whole if r.holds}
    return replace(problem, recipes=tuple(r for r in whole if r.holds or r.workload not in holding))


def rank(plan: Plan, workloads: Sequence[Workload]) -> tuple[float, ...]:
    """What plans are compared by, the larger the better and the first first: by priority, how many workloads run, and
    then the promises kept, in parts; last the objective. What starts late (`late`) is not in it.
    """
    kept, owed = {w.name: w for w in plan.workloads}, sorted({w.priority for w in workloads})
    placed = {(p.workload, p.slot) for p in plan.placements}
    runs = [sum(_runs(w, kept[w.name], placed) for w in workloads if w.priority == level) for level in owed]
    parts = [sum(_part(w, kept[w.name]) for w in workloads if w.priority == level) for level in owed]
    less = plan.objective.name in ("fewest-chips", "least-energy")
    return (*runs, *parts, (-1.0 if less else 1.0) * (plan.objective.value or 0.0))


def late(plan: Plan) -> float:
    """Chips short for what starts, over all slots: a plan that is short of more is no better by its objective."""
    return sum(sum(p.late_chips) for p in plan.pools)


def _runs(w: Workload, kept: Kept, placed: Collection[tuple[str, int]]) -> bool:
    """Whether a workload is placed at all; serving, in every slot that asks for it."""
    if kept.demand_rps is None:
        return any(name == w.name for name, _ in placed)
    return all((w.name, slot) in placed for slot, rate in enumerate(kept.demand_rps) if rate > 0)


def _part(w: Workload, kept: Kept) -> float:
    """Share of a promise that is kept."""
    if kept.demand_rps is not None and kept.served_rps is not None:
        return sum(kept.served_rps) / max(sum(kept.demand_rps), 1e-300)
    if isinstance(w, Train):
        return min(1.0, (kept.tokens_per_s or 0.0) / w.tokens_per_s) if w.tokens_per_s else 1.0
    return 1.0 if kept.met else (kept.tokens_per_day or 0.0) / w.tokens_per_day  # type: ignore[union-attr]


def optimise(program: Program, objective: FloatArray, seconds: float) -> Outcome:
    """The lexicographic best: workloads that run, promises, objective."""
    levels = sorted({w.priority for w in program.problem.workloads})
    aims = [(_running(program, level), 0.0) for level in levels]  # how many run is a whole number
    aims += [(_promises(program, level), SLACK) for level in levels]
    bounds = (program.lower, program.upper)
    for aim, slack in aims:
        if not aim.any():
            continue
        reached = branches.optimise(program, aim, bounds, seconds=seconds / len(aims), gap=1e-4, moving=0.0)
        if reached.x is None:
            continue
        value = float(aim @ reached.x)
        program = _at_least(program, aim, value - slack * max(1.0, abs(value)))
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
        row_lower=np.append(program.row_lower, value),
        row_upper=np.append(program.row_upper, np.inf),
        rows=np.concatenate([program.rows, np.full(len(columns), row)]),
        columns=np.concatenate([program.columns, columns]),
        entries=np.concatenate([program.entries, aim[columns]]),
    )
