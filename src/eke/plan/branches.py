"""The ways training may be laid out, solved one by one: a gang alone or in parts over several pools, of one size all
day or not.

A relaxation that may mix these ways is far looser than any of them. Taken apart, each is a program that HiGHS closes in
moments; the best of them is the plan, and the largest of their bounds is the bound, because every plan is in one of
them. It knows the program's columns, not what they are worth.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product

import numpy as np

from eke.cost import FloatArray
from eke.plan import solve
from eke.plan.program import Bools, Program
from eke.plan.solve import Outcome, Relaxed

MOST = 64
"""Beyond so many combinations all jobs are laid out in the same way, and the bound is that of the mixed relaxation."""

Bounds = tuple[FloatArray, FloatArray]


def optimise(
    program: Program, objective: FloatArray, bounds: Bounds, *, seconds: float = 5.0, gap: float = 2e-3
) -> Outcome:
    """Maximise `objective` over every way training may be laid out."""
    ways = _ways(program, bounds)
    if len(ways) < 2:
        return solve.optimise(program, objective, bounds, seconds=seconds, gap=gap)
    whole = solve.relax(program, objective, bounds)
    if whole.value is None:
        return Outcome(None, -np.inf, -np.inf, whole, proven=True)
    jobs = len(_jobs(program))
    complete = len(ways) == 4**jobs or jobs == 1
    until = time.perf_counter() + seconds
    posed = [(solve.relax(program, objective, (bounds[0], u)), u) for u in ways]
    return _best(program, objective, bounds[0], sorted(posed, key=_value, reverse=True), whole, until, gap, complete)


def _value(way: tuple[Relaxed, FloatArray]) -> float:
    return -np.inf if way[0].value is None else way[0].value


def _best(
    program: Program, objective: FloatArray, lower: FloatArray, ways: list[tuple[Relaxed, FloatArray]], whole: Relaxed,
    until: float, gap: float, complete: bool,
) -> Outcome:  # fmt: skip
    """The best way; one whose relaxation is no better than what is found is not solved."""
    best: Outcome | None = None
    bound, proven = -np.inf, True
    for n, (relaxed, upper) in enumerate(ways):
        if relaxed.value is None:
            continue
        if (
            best is not None
            and best.x is not None
            and relaxed.value <= best.value * (1 + np.sign(best.value) * gap / 4)
        ):
            bound = max(bound, relaxed.value)
            continue
        left = max(0.5, (until - time.perf_counter()) * (0.6 if n + 1 < len(ways) else 1.0))
        found = solve.optimise(program, objective, (lower, upper), seconds=left, gap=gap)
        proven &= found.proven or found.x is not None
        bound = max(bound, found.bound)
        if found.x is not None and (best is None or found.value > best.value):
            best = found
    bound = min(whole.value if whole.value is not None else np.inf, bound if complete else np.inf)
    if best is None:
        return Outcome(None, -np.inf, bound, whole, proven=proven and complete)
    return replace(best, bound=bound, relaxed=whole)


def _jobs(program: Program) -> dict[str, Bools]:
    """Run columns of each training job."""
    recipes = program.problem.recipes
    names = np.array([recipes[i].workload if recipes[i].kind == "train" else "" for i in program.runs.recipe])
    return {name: names == name for name in dict.fromkeys(names.tolist()) if name}


def _ways(program: Program, bounds: Bounds) -> list[FloatArray]:
    """Upper bounds of the columns, one array for each way."""
    runs, jobs = program.runs, _jobs(program)
    moving = runs.slot >= 0
    joint = np.array([bool(program.problem.recipes[i].joint) for i in runs.recipe], dtype=bool)
    if not jobs or not ((moving | joint) & np.any(list(jobs.values()), axis=0)).any():
        return [bounds[1]]
    modes = [(m, j) for m in (False, True) for j in (False, True)]
    combined = (
        list(product(modes, repeat=len(jobs))) if 4 ** len(jobs) <= MOST else [(mode,) * len(jobs) for mode in modes]
    )
    ways = []
    for choice in combined:
        upper = bounds[1].copy()
        for mine, (moves, joins) in zip(jobs.values(), choice, strict=True):
            upper[runs.at[mine & ((moving != moves) | (joint != joins))]] = 0.0
        ways.append(upper)
    return ways
