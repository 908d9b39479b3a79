"""Whatever the input: an answer that holds when looked at again, or one clear error. Never a traceback, never nonsense.

`EKE_EXAMPLES` says how many scenarios the long run takes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import strategies
from tests.plan.scenarios import SMALL
from typer.main import get_command

from eke.cli.plan import plan as plan_verb
from eke.errors import InputError
from eke.plan import check, make, parse, pins, show
from eke.plan.plan import Plan, from_dict
from eke.plan.scenario import LESS, Scenario, Train, Workload

SECONDS = 0.5
"""CPU time a program may take here: a plan cut short must hold as well."""
SCENARIOS = strategies.odd_scenarios() | strategies.scaled(SMALL)
NEVER = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example)


def answered(text: str, data: st.DataObject) -> None:
    """Plan a scenario every way there is, and look at each answer again."""
    try:
        scenario = parse(text)
        plan = make(scenario, seconds=SECONDS)
    except InputError:
        return
    sound(plan, scenario)
    if not plan.feasible:
        plan = make(scenario, best_effort=True, seconds=SECONDS)
        assert not plan.feasible
        sound(plan, scenario)
    if plan.placements and data.draw(st.booleans(), label="pinned"):
        held = pins.of(plan, [data.draw(st.sampled_from([p.workload for p in plan.placements]), label="what")])
        again = make(scenario, best_effort=True, seconds=SECONDS, pinned=held)
        sound(again, scenario)


def promised(w: Workload, scenario: Scenario) -> bool:
    """Whether a plan that leaves it undone breaks a promise."""
    if scenario.objective == "value" and w.value is not None:
        return False
    return not isinstance(w, Train) or w.deadline_s is not None


def sound(plan: Plan, scenario: Scenario) -> None:
    """The plan holds on a second look, and what it says of itself agrees."""
    assert check.faults(plan, scenario) == []
    assert from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False))) == plan
    assert show.headline(plan)
    assert plan._repr_html_()
    assert plan.feasible == (not plan.infeasible_because)
    assert all(c.demands and c.reason for c in plan.infeasible_because)
    if plan.feasible:
        assert all(k.met for k, w in zip(plan.workloads, scenario.workloads, strict=True) if promised(w, scenario))
    o = plan.objective
    if o.value is None or o.bound is None or o.gap is None:
        assert not plan.placements
        return
    least, most = (o.bound, o.value) if o.name in LESS else (o.value, o.bound)
    assert least <= most + 1e-6 * abs(most)
    assert 0 <= o.gap <= 1 + 1e-9
    for w in plan.workloads:
        asked, done = w.demand_rps or (), w.served_rps or ()
        assert all(0 <= d <= a for d, a in zip(done, asked, strict=True))


@settings(max_examples=20, deadline=None, suppress_health_check=NEVER)
@given(SCENARIOS, st.data())
def test_any_scenario_has_an_answer(text: str, data: st.DataObject) -> None:
    """A few strange scenarios, every time."""
    answered(text, data)


@settings(max_examples=6, deadline=None, suppress_health_check=[*NEVER, HealthCheck.function_scoped_fixture])
@given(SCENARIOS | SCENARIOS.flatmap(strategies.mangled))
def test_the_command_line_ends_with_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """0 with a plan, 2 with what cannot hold together, 64 with what is wrong in the file; whatever the file."""
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    app = typer.Typer()
    app.command()(plan_verb)
    capsys.readouterr()
    try:
        status = get_command(app).main([str(file), "-o", "json"], standalone_mode=False)
    except InputError:  # ends with 64: tests/cli/test_cli.py
        return
    made = json.loads(capsys.readouterr().out)
    assert (status or 0) == (0 if made["feasible"] else 2)
    assert bool(made["infeasible_because"]) == (not made["feasible"])


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("EKE_EXAMPLES", "1000")), deadline=None, suppress_health_check=NEVER)
@given(SCENARIOS, st.data())
def test_thousands_of_scenarios_have_an_answer(text: str, data: st.DataObject) -> None:
    """The same for an hour."""
    answered(text, data)
