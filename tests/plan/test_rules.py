"""Rules of thumb: honest ones, and never better than the plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from tests import strategies
from tests.plan.scenarios import MIXED_QUALITY, SMALL, TOO_MUCH, planned, reference

from eke.errors import InputError
from eke.plan import Plan, check, parse, planner, rules
from eke.plan.scenario import Scenario


def _never_better(scenario: Scenario, plan: Plan) -> None:
    """Each rule's plan passes the second look; none that keeps all promises passes the plan's bound."""
    problem = planner.pose(scenario)
    sign = -1.0 if plan.objective.name == "fewest-chips" else 1.0
    for name, found in rules.compared(scenario, problem).items():
        assert check.faults(found, scenario) == [], name
        if found.feasible:
            assert found.objective.value is not None
            assert plan.objective.bound is not None, "a rule keeps what the plan cannot"
            scale = abs(plan.objective.bound)
            assert sign * found.objective.value <= sign * plan.objective.bound + 1e-6 * scale, name


@pytest.mark.parametrize("text", [SMALL, MIXED_QUALITY, SMALL.replace("train-progress", "fewest-chips")])
def test_no_rule_passes_the_bound(text: str) -> None:
    """On small scenarios, of both kinds of objective."""
    _never_better(parse(text), planned(text))


@pytest.mark.parametrize("name", ["full-stack", "ten-thousand-cards"])
def test_no_rule_passes_the_bound_of_a_real_fleet(shared_data: Path, name: str) -> None:
    """On reference scenarios too."""
    _never_better(*reference(shared_data.parent / "scenarios" / f"{name}.yaml"))


def test_rules_differ_and_lose() -> None:
    """On two kinds of chips the rules serve in different places, and each loses training to the plan."""
    scenario = parse(SMALL)
    plan, found = planned(SMALL), rules.compared(scenario)
    pools = {name: frozenset(p.pool for p in f.placements if p.kind == "serve") for name, f in found.items()}
    assert pools["strong trains, weak serves"] == {"l20"}
    assert "h800" in pools["greedy by throughput"]
    assert "h800" in pools["equal split"]
    assert plan.objective.value is not None
    for f in found.values():
        assert f.feasible
        assert (f.objective.value or 0.0) <= plan.objective.value * (1 + 2e-3)


def test_an_equal_split_is_by_chips_and_their_peak() -> None:
    """64 H800 of 1,979 and 48 L20 of 239 peak TFLOPS: the L20s' share is 8.3% of every slot, to the replica that
    rounding gives either pool.
    """
    rate = 300.0
    split = next(r for r in rules.RULES if r.name == "equal split")
    found = rules.follow(split, parse(SMALL.replace("rate: 40/s", f"rate: {rate:g}/s")))
    assert found.feasible
    share = 48 * 239 / (48 * 239 + 64 * 1979)
    demand = next(w for w in found.workloads if w.name == "chat").demand_rps or ()
    for t, asked in enumerate(demand):
        here = {p.pool: p.capacity["requests_per_s"] for p in found.placements if (p.workload, p.slot) == ("chat", t)}
        each = {p.pool: p.capacity["requests_per_s"] / p.replicas for p in found.placements if p.workload == "chat"}
        assert set(each) == {"h800", "l20"}
        assert abs(here.get("l20", 0.0) - share * asked) <= sum(each.values()), t
        assert abs(here["h800"] - (1 - share) * asked) <= sum(each.values()), t


def test_what_cannot_be_kept_is_said() -> None:
    """A rule that leaves requests unanswered is not called feasible, and says how many it answers."""
    found = rules.follow(rules.RULES[0], parse(TOO_MUCH))
    chat = next(w for w in found.workloads if w.name == "chat")
    assert not found.feasible
    assert not chat.met
    assert 0 < sum(chat.served_rps or ()) < sum(chat.demand_rps or ())


def test_a_job_in_one_pool() -> None:
    """With `across` off, a job trains in one pool, and no faster than over several."""
    scenario = parse(SMALL.replace("chip: L20", "chip: A800-SXM"))
    one, several = (rules.follow(rules.RULES[0], scenario, across=across) for across in (False, True))
    assert len({p.pool for p in one.placements if p.kind == "train"}) == 1
    assert len({p.pool for p in several.placements if p.kind == "train"}) == 2
    assert (one.objective.value or 0.0) < (several.objective.value or 0.0)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(strategies.scaled(SMALL))
def test_no_crash_and_no_nonsense(text: str) -> None:
    """Whatever loads: every rule's answer passes the second look."""
    try:
        scenario = parse(text)
    except InputError:
        assume(False)
    for found in rules.compared(scenario).values():
        assert check.faults(found, scenario) == []
