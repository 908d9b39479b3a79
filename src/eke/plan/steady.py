"""The same promises and objective, told simply: few recipes, the same ones all day, piles worked off evenly.

Many plans reach an objective; of these one is taken that a person would. With training fixed, a relaxation with one
more column v[r] ≥ x[r,t] for each recipe in use finds those whose peaks cost the fewest chips; on these alone the
integer program is small. A pile may be worked off at any time: of all ways, the one whose highest number of replicas
is least. Neither changes objective or promises.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eke.cost import FloatArray, IntArray
from eke.plan import solve
from eke.plan.part import Part, part, whole
from eke.plan.program import Program
from eke.plan.solve import Bounds

NIGHT = 0.2
"""Weight of chips in use beside chips at a recipe's peak."""
SECONDS, GAP = 1.0, 1e-2
"""CPU seconds for the piles, and share of the chips that may be wasted."""
FEW_S = 2.5
"""CPU seconds to find a plan of few recipes."""


def settle(program: Program, primary: FloatArray, x: FloatArray) -> FloatArray:
    """A plan like `x` of few recipes and with even piles; as far as such a one is found in time."""
    return _even(program, primary, _few(program, primary, x))


def _few(program: Program, primary: FloatArray, x: FloatArray) -> FloatArray:
    """Replicas of few of the recipes in `x` instead of all of them, if that costs neither objective nor promises."""
    runs, recipes = program.runs, program.problem.recipes
    free = ~np.array([r.kind == "train" for r in recipes], dtype=bool)[runs.recipe]
    bounds = held(program, x, runs.at[~free])
    used = np.unique(runs.recipe[free][x[runs.at[free]] > 0.5])
    some = free & np.isin(runs.recipe, used)
    bounds[1][runs.at[free & ~some]] = 0.0
    at, kind = runs.at[some], np.searchsorted(used, runs.recipe[some])
    wide = _peaks(whole(program), at, kind, len(used))
    chips = np.array([program.problem.spared(recipes[i]) for i in used])
    lower, upper = np.append(bounds[0], np.zeros(len(used))), np.append(bounds[1], np.full(len(used), np.inf))
    relaxed = solve.relax(wide, np.concatenate([-NIGHT * program.spared, -chips]), (lower, upper))
    if relaxed.value is None:
        return x
    chosen = np.unique(kind[relaxed.x[at] > 1e-6])
    bounds[1][at[~np.isin(kind, chosen)]] = 0.0
    found = solve.search(program, -program.spared, bounds, program.integer, seconds=FEW_S, gap=GAP)
    if found.x is None or primary @ (x - found.x) > 1e-6 * abs(primary @ x) + 1e-12:
        return x
    return found.x


def held(program: Program, x: FloatArray, fixed: IntArray) -> Bounds:
    """Bounds that keep the columns `fixed`, what is missing, what is set aside and what runs as they are in `x`."""
    lower, upper = program.lower.copy(), program.upper.copy()
    lower[fixed] = upper[fixed] = x[fixed]
    for columns in program.missing.values():
        upper[columns] = np.minimum(upper[columns], x[columns] + 1e-9)
    for column in program.aside.values():
        upper[column] = x[column] + 1e-6
    for column in program.started.values():
        lower[column] = x[column]
    return lower, upper


def _even(program: Program, primary: FloatArray, x: FloatArray) -> FloatArray:
    """The same with piles worked off evenly; `x` itself when that is not found in time."""
    runs, problem = program.runs, program.problem
    piles = np.array([r.kind == "batch" for r in problem.recipes], dtype=bool)[runs.recipe]
    at, recipe = runs.at[piles], runs.recipe[piles]
    if not len(at) or primary[at].any():
        return x
    posed = part(program, (program.lower, program.upper), x, at)
    kinds, kind = np.unique(recipe, return_inverse=True)
    wide = _peaks(posed, np.arange(len(at)), kind, len(kinds))
    chips = np.array([problem.spared(problem.recipes[i]) for i in kinds])
    objective = np.append(-NIGHT * program.spared[at], -chips)
    integer = np.ones(len(objective), dtype=bool)
    found = solve.search(wide, objective, (wide.lower, wide.upper), integer, seconds=SECONDS, gap=GAP)
    if found.x is None:
        return x
    settled = x.copy()
    settled[at] = found.x[: len(at)]
    return settled


def _peaks(posed: Part, at: IntArray, kind: IntArray, kinds: int) -> Part:
    """The part with one more column v for each kind of recipe, and rows v ≥ x for its columns `at`."""
    n, m = len(posed.lower), len(posed.row_lower)
    rows = m + np.arange(len(at))
    return replace(
        posed,
        lower=np.append(posed.lower, np.zeros(kinds)), upper=np.append(posed.upper, np.full(kinds, np.inf)),
        row_lower=np.append(posed.row_lower, np.zeros(len(at))),
        row_upper=np.append(posed.row_upper, np.full(len(at), np.inf)),
        rows=np.concatenate([posed.rows, rows, rows]), columns=np.concatenate([posed.columns, at, n + kind]),
        entries=np.concatenate([posed.entries, -np.ones(len(at)), np.ones(len(at))]),
    )  # fmt: skip
