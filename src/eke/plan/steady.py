"""The same promises and objective, told simply: few recipes, the same ones all day, no chip in use that need not be.

The solver stops when a better objective is no longer possible; among the many plans that reach it, this picks one that
a person would. With training fixed, a relaxation with one more column v[r] ≥ x[r,t] for each recipe finds those whose
peaks cost the fewest chips; on these alone the integer program is small. It changes neither objective nor promises.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eke.cost import FloatArray
from eke.plan import solve
from eke.plan.program import Bools, Program

NIGHT = 0.2
"""Weight of chips in use beside chips at a recipe's peak."""


def settle(program: Program, primary: FloatArray, x: FloatArray, seconds: float) -> FloatArray:
    """A plan like `x` with few recipes; `x` itself when none is found in time."""
    lower, upper = _held(program, x)
    gang = _gangs(program)
    runs = program.runs
    wide, objective = _peaks(program, gang)
    more = len(wide.lower) - len(program.lower)
    relaxed = solve.relax(wide, objective, (np.append(lower, np.zeros(more)), np.append(upper, np.full(more, np.inf))))
    if relaxed.value is None:
        return x
    chosen = {int(r) for r in runs.recipe[~gang & (relaxed.x[runs.at] > 1e-6)]}
    for_upper = upper.copy()
    for_upper[runs.at[~gang & ~np.isin(runs.recipe, list(chosen))]] = 0.0
    again = solve.optimise(program, -program.spared, (lower, for_upper), seconds=seconds, gap=5e-3)
    if again.x is None:
        return x
    loss = primary @ x - primary @ again.x
    return again.x if loss <= 1e-6 * abs(primary @ x) + 1e-12 else x


def _gangs(program: Program) -> Bools:
    recipes = program.problem.recipes
    return np.array([recipes[i].kind == "train" for i in program.runs.recipe], dtype=bool)


def _held(program: Program, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds that keep training, what is missing, what is set aside and what runs as they are in `x`."""
    lower, upper = program.lower.copy(), program.upper.copy()
    gangs = program.runs.at[_gangs(program)]
    lower[gangs] = upper[gangs] = x[gangs]
    for columns in program.missing.values():
        upper[columns] = np.minimum(upper[columns], x[columns] + 1e-9)
    for column in program.aside.values():
        upper[column] = x[column] + 1e-6
    for column in program.started.values():
        lower[column] = x[column]
    return lower, upper


def _peaks(program: Program, gang: Bools) -> tuple[Program, FloatArray]:
    """The program with v[r] ≥ x[r,t], and the objective: chips at the peaks of recipes, and in use."""
    problem, runs = program.problem, program.runs
    n, m, r = len(program.lower), len(program.row_lower), len(problem.recipes)
    at, recipe = runs.at[~gang], runs.recipe[~gang]
    rows = m + np.arange(len(at))
    wide = replace(
        program,
        lower=np.append(program.lower, np.zeros(r)), upper=np.append(program.upper, np.full(r, np.inf)),
        integer=np.append(program.integer, np.zeros(r, dtype=bool)),
        row_lower=np.append(program.row_lower, np.zeros(len(at))),
        row_upper=np.append(program.row_upper, np.full(len(at), np.inf)),
        rows=np.concatenate([program.rows, rows, rows]), columns=np.concatenate([program.columns, at, n + recipe]),
        entries=np.concatenate([program.entries, -np.ones(len(at)), np.ones(len(at))]),
    )  # fmt: skip
    chips = np.array([problem.spared(x) for x in problem.recipes])
    return wide, np.concatenate([-NIGHT * program.spared, -chips])
