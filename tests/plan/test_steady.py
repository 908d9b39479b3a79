"""A plan is told simply: fewer recipes, no worse than the one it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.test_program import problem, recipe

from eke.cost import FloatArray
from eke.plan import branches, planner, program, steady
from eke.plan.program import Problem, Program


def day(rates: list[float], recipes: list[tuple[str, int, float]], units: dict[str, int]) -> Problem:
    """One workload over slots of these rates, and a job that takes what is left of pool `a`."""
    served = [recipe("s0", "serve", pool, n, rate) for pool, n, rate in recipes]
    trains = [recipe("job", "train", "a", n, float(n)) for n in range(1, units["a"] + 1)]
    posed = problem([max(rates)], [*served, *trains], units)
    slots = len(rates)
    return replace(
        posed, weights=np.full(slots, 1 / slots), slots=tuple((t,) for t in range(slots)),
        demand={"s0": np.array(rates)},
    )  # fmt: skip


def kinds(built: Program, x: FloatArray) -> int:
    """Recipes in use, training apart."""
    runs = built.runs
    return len(np.unique(runs.recipe[~runs.gang & (x[runs.at] > 0.5)]))


def test_one_recipe_stands_for_many() -> None:
    """What three recipes answer between them one answers alone where its pool has room, and training stays."""
    posed = day([9.0, 5.0, 2.0], [("a", 1, 1.0), ("b", 1, 1.0), ("b", 2, 2.1), ("b", 3, 3.2)], {"a": 10, "b": 40})
    built = program.build(posed)
    goal = planner.aim(built)
    found = branches.optimise(built, goal.combined, built.promised(), seconds=5)
    assert found.x is not None
    x = found.x.copy()
    mixed = {(0, 0): 0.0, (1, 0): 1, (2, 0): 1, (3, 0): 2, (1, 1): 2, (3, 1): 1, (2, 2): 1}
    for k in np.flatnonzero(~built.runs.gang).tolist():
        x[built.runs.at[k]] = mixed.get((int(built.runs.recipe[k]), int(built.runs.slot[k])), 0.0)
    few = steady.settle(built, goal.primary, x)
    assert kinds(built, x) == 3
    assert kinds(built, few) == 1
    assert goal.primary @ few == goal.primary @ x


@st.composite
def days(draw: st.DrawFn) -> Problem:
    """Small days in two pools."""
    rates = draw(st.lists(st.integers(0, 20).map(float), min_size=1, max_size=4).filter(any))
    some = st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(1, 4).map(float))
    return day(rates, draw(st.lists(some, min_size=1, max_size=5)), {"a": 12, "b": 12})


@settings(max_examples=40, deadline=None)
@given(days())
def test_told_simply_a_plan_is_as_good_and_holds(posed: Problem) -> None:
    """Every row and bound still holds, the objective is what it was, and there are no more recipes."""
    built = program.build(posed)
    goal = planner.aim(built)
    lower, upper = built.promised()
    found = branches.optimise(built, goal.combined, (lower, upper), seconds=5)
    if found.x is None:
        return
    few = steady.settle(built, goal.primary, found.x)
    done = np.bincount(built.rows, built.entries * few[built.columns], minlength=len(built.row_lower))
    assert (done >= built.row_lower - 1e-6).all()
    assert (done <= built.row_upper + 1e-6).all()
    assert (few >= lower - 1e-6).all()
    assert (few <= upper + 1e-6).all()
    assert goal.primary @ few >= goal.primary @ found.x - 1e-6
    assert kinds(built, few) <= kinds(built, found.x)
