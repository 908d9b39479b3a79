"""Parts of a plan that must stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.plan.scenarios import SMALL, planned

from eke.errors import InputError, UnknownName
from eke.plan import Plan, check, make, parse, pins
from eke.plan.pins import Form, Pin


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of the small scenario."""
    return planned(SMALL)


def placed(plan: Plan, workload: str) -> list[tuple[object, ...]]:
    """Where a workload runs, and how."""
    rows = [p for p in plan.placements if p.workload == workload]
    return sorted((p.pool, p.slot, p.replicas, p.chips, p.variant) for p in rows)


def test_what_is_held_stays_and_the_rest_follows(plan: Plan) -> None:
    """A service held as it was stays so slot by slot although half its requests are gone; training is planned anew."""
    scenario = parse(SMALL.replace("rate: 40/s", "rate: 20/s"))
    free, held = make(scenario), make(scenario, pinned=pins.of(plan, workloads=["chat"]))
    assert check.faults(held, scenario) == []
    assert placed(held, "chat") == placed(plan, "chat") != placed(free, "chat")
    assert free.objective.value is not None
    assert held.objective.value is not None
    assert plan.objective.value is not None
    assert plan.objective.value * (1 - 5e-3) <= held.objective.value <= free.objective.value * (1 + 5e-3)


def test_a_whole_plan_can_be_held(plan: Plan) -> None:
    """Everything pinned gives the same plan again."""
    again = make(parse(SMALL), pinned=pins.of(plan))
    assert again.placements == plan.placements


def test_replicas_within_limits() -> None:
    """At least and at most so many replicas of a form nobody asked for."""
    form = Form("Qwen3-8B", "bf16", (8, 1, 1, 1))
    scenario = parse(SMALL)
    held = make(scenario, pinned=[Pin("chat", "h800", least=2, form=form), Pin("chat", "l20", most=0)])
    assert check.faults(held, scenario) == []
    rows = [p for p in held.placements if p.workload == "chat"]
    assert {p.pool for p in rows} == {"h800"}
    for slot in range(4):
        assert sum(p.replicas for p in rows if p.slot == slot and p.recipe["tp"] == 8) >= 2


@pytest.mark.parametrize(
    ("pinned", "demands"),
    [
        ([Pin("chat", "h800", most=0), Pin("chat", "l20", most=1), Pin("clean", "l20", most=3)], ("chat",)),
        ([Pin("chat", "l20", least=1000)], ("chat",)),
        ([Pin("next", "h800", most=0), Pin("next", "l20", most=0)], ("next",)),
    ],
)
def test_pins_in_the_way_are_named(pinned: list[Pin], demands: tuple[str, ...]) -> None:
    """Where pins make it impossible, the answer names the fewest of them; without any one of these it holds."""
    plan = make(parse(SMALL), pinned=pinned)
    assert not plan.feasible
    (conflict,) = plan.infeasible_because
    assert conflict.demands == demands
    named = [pin for pin in pinned if f"without the pin {pin}" in conflict.repairs]
    assert named
    assert pinned[-1] not in named or pinned[-1].workload != "clean"
    for pin in named:
        assert make(parse(SMALL), pinned=[p for p in pinned if p != pin]).feasible


@pytest.mark.parametrize("wrong", [Pin("chat", "h800", slot=9), Pin("chat", "h800", least=3, most=2)])
def test_refuses_impossible_pins(wrong: Pin) -> None:
    """A slot the day does not have, or more at least than at most, is an input error."""
    with pytest.raises(InputError, match="pinned"):
        make(parse(SMALL), pinned=[wrong])


def test_names_must_be_known(plan: Plan) -> None:
    """Workloads and pools that are not there are told with near names."""
    with pytest.raises(UnknownName, match="chta"):
        pins.of(plan, workloads=["chta"])
    with pytest.raises(UnknownName, match="h8000"):
        make(parse(SMALL), pinned=[replace(Pin("chat", "h800"), pool="h8000")])
