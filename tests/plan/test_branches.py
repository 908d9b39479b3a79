"""The best way to lay training out is found without asking about all of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.test_program import recipe
from tests.plan.test_steady import day

from eke.cost import FloatArray
from eke.plan import branches, planner, program, solve
from eke.plan.branches import Ways
from eke.plan.program import Problem, Program


@st.composite
def days(draw: st.DrawFn) -> Problem:
    """A service over slots, and a job in pool a, in b or in parts in both, of one size or moving."""
    rates = draw(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=3).filter(any))
    posed = day(
        rates, [("a", 1, 1.0), ("b", draw(st.integers(1, 3)), draw(st.sampled_from([1.0, 2.5])))], {"a": 9, "b": 9}
    )
    speed = draw(st.sampled_from([0.4, 0.9]))
    parts = [replace(recipe("job", "train", p, n, n * speed), joint="a+b") for p in "ab" for n in (2, 4, 7)]
    return replace(posed, recipes=(*posed.recipes, *parts))


def every_way(built: Program, upper: FloatArray) -> list[tuple[bool, FloatArray]]:
    """Every way to lay training out: whether a job moves, and upper bounds of columns."""
    jobs = [job.held(built, upper, np.zeros(len(upper))) for job in branches._jobs(built)]
    return [
        (any(moves for moves, _ in choice), np.minimum.reduce([upper, *(one for _, one in choice)]))
        for choice in product(*jobs)
    ]


@settings(max_examples=40, deadline=None)
@given(days(), st.sampled_from([0.0, 0.05]))
def test_the_best_way_is_the_best_of_all(posed: Problem, moving: float) -> None:
    """What the best way's relaxation reaches is what all ways, each asked for itself, reach at most; moving pays."""
    built = program.build(posed)
    goal = planner.aim(built)
    lower, upper = built.promised(goal.promises)
    ways = Ways(built, goal.combined, (lower, upper), moving=moving)
    reached = [-np.inf]
    for moves, held in every_way(built, upper):
        value = solve.relax(built, goal.combined, (lower, held)).value
        if value is not None and ways.whole.value is not None:
            reached.append(value - moving * abs(ways.whole.value) * moves)
    assert ways.best() == pytest.approx(max(reached), rel=1e-6, abs=1e-9)
    assert ways.reach >= ways.best() - 1e-9


@settings(max_examples=40, deadline=None)
@given(days())
def test_few_columns_find_what_all_find(posed: Problem) -> None:
    """A plan is as good as the best of all ways, each asked of all columns at once; and its bound is no less."""
    built = program.build(posed)
    goal = planner.aim(built)
    lower, upper = built.promised(goal.promises)
    found = branches.optimise(built, goal.combined, (lower, upper), gap=1e-6, moving=0.0)
    every = [
        solve.search(built, goal.combined, (lower, held), built.integer, seconds=5, gap=1e-9)
        for _, held in every_way(built, upper)
    ]
    best = max((one.value for one in every if one.x is not None), default=None)
    assert (found.x is None) == (best is None)
    if best is not None:
        assert found.value == pytest.approx(best, rel=1e-5, abs=1e-6)
        assert best <= found.bound + 1e-6 * abs(found.bound) + 1e-9
