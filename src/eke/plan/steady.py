"""The same promises and objective, told simply: piles are worked off evenly, no chip in use that need not be.

Services already run few recipes all day (`slots`). A pile may be worked off at any time, so that many solutions are
equally good; of these the one is taken whose highest number of replicas is least. Nothing else is touched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eke.cost import FloatArray
from eke.plan import solve
from eke.plan.part import Part, part
from eke.plan.program import Program

NIGHT = 0.2
"""Weight of chips in use beside chips at a recipe's peak."""
SECONDS, GAP = 1.0, 1e-2
"""CPU seconds, and share of its chips that may be wasted."""


def settle(program: Program, primary: FloatArray, x: FloatArray) -> FloatArray:
    """A plan like `x` in which piles are worked off evenly; `x` itself when none is found in time."""
    runs, problem = program.runs, program.problem
    piles = np.array([r.kind == "batch" for r in problem.recipes], dtype=bool)[runs.recipe]
    at, recipe = runs.at[piles], runs.recipe[piles]
    if not len(at) or primary[at].any():
        return x
    posed = part(program, (program.lower, program.upper), x, at)
    kinds, kind = np.unique(recipe, return_inverse=True)
    wide = _peaks(posed, kind, len(kinds))
    chips = np.array([problem.spared(problem.recipes[i]) for i in kinds])
    objective = np.append(-NIGHT * program.spared[at], -chips)
    integer = np.ones(len(objective), dtype=bool)
    found = solve.search(wide, objective, (wide.lower, wide.upper), integer, seconds=SECONDS, gap=GAP)
    if found.x is None:
        return x
    settled = x.copy()
    settled[at] = found.x[: len(at)]
    return settled


def _peaks(posed: Part, kind: np.ndarray[tuple[int], np.dtype[np.int64]], kinds: int) -> Part:
    """The part with one more column v for each kind of recipe, and rows v ≥ x."""
    n, m = len(posed.at), len(posed.row_of)
    rows = m + np.arange(n)
    return replace(
        posed,
        lower=np.append(posed.lower, np.zeros(kinds)), upper=np.append(posed.upper, np.full(kinds, np.inf)),
        row_lower=np.append(posed.row_lower, np.zeros(n)), row_upper=np.append(posed.row_upper, np.full(n, np.inf)),
        rows=np.concatenate([posed.rows, rows, rows]), columns=np.concatenate([posed.columns, np.arange(n), n + kind]),
        entries=np.concatenate([posed.entries, -np.ones(n), np.ones(n)]),
    )  # fmt: skip
