"""What is kept when not everything can be: never less than a rule of thumb keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plan.scenarios import SMALL, TOO_MUCH

from eke.plan import check, effort, load, make, parse, planner, rules
from eke.plan.scenario import Scenario

NEAR = 1e-3
"""What the solver leaves of each step."""


def no_worse(scenario: Scenario) -> None:
    """In the order of `effort.rank` no rule passes the plan that has as much room for what starts."""
    scenario = planner.ready(scenario)
    plan, problem = make(scenario, best_effort=True), planner.pose(scenario)
    assert check.faults(plan, scenario) == []
    ours = effort.rank(plan, scenario.workloads)
    for name, rule in rules.compared(scenario, problem).items():
        if effort.late(rule) > effort.late(plan) + 1e-9:
            continue
        theirs = effort.rank(rule, scenario.workloads)
        differ = [(a, b) for a, b in zip(ours, theirs, strict=True) if abs(a - b) > NEAR * max(1.0, abs(b))]
        assert not differ or differ[0][0] > differ[0][1], (name, ours, theirs)


@pytest.mark.parametrize("name", ["infeasible", "this-machine"])
def test_no_rule_keeps_more_where_promises_clash(shared_data: Path, name: str) -> None:
    """On the reference scenarios that nobody can keep."""
    no_worse(load(shared_data.parent / "scenarios" / f"{name}.yaml"))


def test_no_gang_gives_way_to_a_start_of_batch_work() -> None:
    """Three nodes that serve all day and train at night: what starts of the pile then costs the gang nothing."""
    text = SMALL.replace("40/s", "855/s").replace("nodes: 8,", "nodes: 3,").replace("deadline: 90 d", "deadline: 28 d")
    no_worse(parse(text))


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rate=st.integers(40, 4000), nodes=st.integers(1, 8), deadline=st.integers(5, 90))
def test_no_rule_keeps_more(rate: int, nodes: int, deadline: int) -> None:
    """With more asked than there are chips, by ten to a hundred times, or less."""
    text = SMALL.replace("40/s", f"{rate}/s").replace("nodes: 8,", f"nodes: {nodes},")
    no_worse(parse(text.replace("deadline: 90 d", f"deadline: {deadline} d")))


def test_a_stopped_workload_is_no_kept_promise() -> None:
    """A plan that serves nobody ranks below one that serves a few, whatever it trains."""
    scenario = parse(TOO_MUCH)
    plan = make(scenario, best_effort=True)
    rest = tuple(p for p in plan.placements if p.workload != "chat")
    objective = replace(plan.objective, value=10 * (plan.objective.value or 1.0))
    stopped = replace(plan, placements=rest, objective=objective)
    assert len(rest) < len(plan.placements)
    assert effort.rank(stopped, scenario.workloads) < effort.rank(plan, scenario.workloads)
