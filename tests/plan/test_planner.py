"""Whole plans: checked again by other arithmetic, on reference scenarios, small ones and mangled ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.plan.scenarios import LENGTHS, MIXED_QUALITY, SMALL, TOO_MUCH, planned, reference

import eke
from eke.fleet.chip import Chip
from eke.fleet.pool import Fleet, Pool
from eke.plan import capacity, check, make, parse, planner, reasons
from eke.plan.notes import by_kind
from eke.plan.plan import Plan

TINY = (
    SMALL.replace("Qwen3-8B", "tiny")
    .replace("40/s", "0.01/s")
    .replace("200M", "20k")
    .replace("    deadline: 90 d\n", "")
    .replace(LENGTHS, "{prompt: {p50: 100}, output: {p50: 20}}")
    .replace("{prompt: {p50: 1000}, output: {p50: 100}}", "{prompt: {p50: 100}, output: {p50: 20}}")
)
CPU = Chip("two-cores", "me", {"fp32": 2e11, "bf16": 4e11, "int8": 8e11}, 16e9, 2e10, kind="cpu", cores=2)


@pytest.fixture(scope="module")
def small() -> Plan:
    """The plan of the small scenario."""
    return planned(SMALL)


def test_small_plan_keeps_everything(small: Plan) -> None:
    """All promises are kept, nothing is wrong on a second look, and the bound is near."""
    assert small.feasible
    assert check.faults(small, parse(SMALL)) == []
    assert all(w.met for w in small.workloads)
    assert small.objective.value is not None
    assert small.objective.bound is not None
    assert small.objective.value <= small.objective.bound
    assert (small.objective.gap or 0.0) <= 0.01


def test_more_chips_never_make_it_worse() -> None:
    """Two more nodes train at least as fast."""
    less, more = (make(parse(SMALL.replace("nodes: 8,", f"nodes: {n},"))) for n in (8, 10))
    assert less.objective.value is not None
    assert more.objective.value is not None
    assert more.objective.value >= less.objective.value * (1 - 1e-3)


def test_smaller_models_answer_within_their_share() -> None:
    """An alternative takes work off the larger model, within its share; the mean quality stays above the floor."""
    scenario = parse(MIXED_QUALITY)
    plan = make(scenario)
    assert plan.feasible
    assert check.faults(plan, scenario) == []
    shares = {m: sum(p.share for p in plan.placements if p.model == m) for m in ("Qwen3-8B", "Qwen3-32B")}
    assert 0 < shares["Qwen3-8B"] <= 0.6 + 1e-6
    alone = make(
        parse(MIXED_QUALITY.replace("alternatives: [{model: Qwen3-8B, quality: 0.94, share: 60%}]", "alternatives: []"))
    )
    assert alone.objective.value is None or (plan.objective.value or 0.0) < alone.objective.value


def test_too_much_is_an_answer() -> None:
    """An impossible demand gives no placements, but the demand, its pools, and repairs that really make it hold."""
    plan = planned(TOO_MUCH)
    assert not plan.feasible
    assert plan.placements == ()
    (conflict,) = plan.infeasible_because
    assert conflict.demands == ("chat",)
    assert any("more H800-SXM nodes" in r for r in conflict.repairs)
    rate = next(r for r in conflict.repairs if r.startswith("chat at ")).split(" at ")[1].split("/s")[0]
    assert make(parse(TOO_MUCH.replace("rate: 4000/s", f"rate: {float(rate) * 0.99}/s"))).feasible


def test_nodes_of_a_repair_are_enough() -> None:
    """As many nodes as the repair names make the plan feasible; a third fewer do not."""
    plan = planned(TOO_MUCH)
    said = next(r for r in plan.infeasible_because[0].repairs if "H800-SXM node" in r)
    nodes = int(said.split()[0])
    grown = [TOO_MUCH.replace("nodes: 8,", f"nodes: {8 + n}, available: 100%,") for n in (nodes, nodes * 2 // 3)]
    assert [make(parse(text)).feasible for text in grown] == [True, False]


def test_best_effort_serves_by_priority() -> None:
    """When not everything holds, what can be reached is planned, said to be short, and passes the second look."""
    scenario = parse(TOO_MUCH)
    plan = make(scenario, best_effort=True)
    assert not plan.feasible
    assert plan.infeasible_because
    assert check.faults(plan, scenario) == []
    chat = next(w for w in plan.workloads if w.name == "chat")
    assert not chat.met
    assert 0 < sum(chat.served_rps or ()) < sum(chat.demand_rps or ())
    assert {p.workload for p in plan.placements} >= {"chat", "next"}


def test_a_cpu_is_shared_by_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores, a model to serve and one to train: each runs on a core, and the plan counts half chips."""
    scenario = replace(
        parse(TINY),
        fleet=Fleet((Pool("here", CPU, 1, 1),)), detected=True,
    )  # fmt: skip
    monkeypatch.setattr(planner, "measured", lambda fleet: fleet)
    plan = make(scenario, best_effort=True)
    assert check.faults(plan, scenario) == []
    assert {p.workload for p in plan.placements} >= {"chat", "next"}
    for p in plan.placements:
        assert p.chips == pytest.approx(p.replicas * p.recipe["threads"] / 2)
        assert p.recipe["engine"] == ("torch" if p.kind == "train" else "llamacpp")


@pytest.mark.parametrize("name", ["full-stack", "infeasible", "open-cluster", "ten-thousand-cards", "two-generations"])
def test_reference_scenarios(shared_data: Path, name: str) -> None:
    """Every reference scenario is planned, passes the second look, and its gap is within 1%."""
    scenario, plan = reference(shared_data.parent / "scenarios" / f"{name}.yaml")
    assert check.faults(plan, scenario) == []
    assert plan.feasible == (name != "infeasible")
    if plan.feasible:
        assert all(w.met for w in plan.workloads)
        assert (plan.objective.gap or 0.0) <= 0.01
    else:
        assert {d for c in plan.infeasible_because for d in c.demands} == {"chat", "tune"}
        assert all(c.repairs for c in plan.infeasible_because)


def test_strong_chips_mostly_train(shared_data: Path) -> None:
    """In two-generations the H800 mostly train: the program finds it, no rule says it."""
    _, plan = reference(shared_data.parent / "scenarios" / "two-generations.yaml")
    used = by_kind(plan)
    assert used["h800"]["train"] > 0.8 * 2048
    assert used["h800"]["train"] > 5 * used["h800"].get("serve", 0.0)


EDGES = [
    ("nodes: 8,", "nodes: 0,"),
    ("nodes: 8,", "nodes: 8, reserved: 8,"),
    ("rate: 40/s", "rate: 1/d"),
    ("rate: 40/s", "rate: 0/s"),
    ("nodes: 8,", "nodes: 1000000,"),
    ("model: Qwen3-8B\n    tokens: 100B", "model: DeepSeek-V3\n    tokens: 100B"),
    ("tokens: 100B", "tokens: 1"),
    ("sequence: 4096", "sequence: 4000000"),
    ("global_batch: 2M", "global_batch: 1"),
    ("objective: train-progress", "objective: fewest-chips"),
    ("objective: train-progress", "objective: value"),
    ("chips_per_node: 8", "chips_per_node: 3"),
]


@pytest.mark.parametrize(("old", "new"), EDGES, ids=[e[1][:30] for e in EDGES])
def test_edges(old: str, new: str) -> None:
    """Empty pools, a request a day, a million nodes, a model too large: an answer that passes the second look."""
    scenario = parse(SMALL.replace(old, new, 1))
    plan = make(scenario, best_effort=True, seconds=2.0)
    assert check.faults(plan, scenario) == []


def test_spare_strong_chips_are_left_free() -> None:
    """Of two kinds that can both do the work, with nothing to train, the weaker serves."""
    text = """
format: eke.scenario/1
name: weak-first
fleet:
  pools:
    - {name: strong, chip: H800-SXM, nodes: 2}
    - {name: weak, chip: L20, nodes: 4}
workloads:
  - serve: chat
    model: Qwen3-8B
    traffic: {rate: 5/s, lengths: {prompt: {p50: 500, p99: 2000}, output: {p50: 100, p99: 300}}}
    slo: {ttft: 3 s, tpot: 100 ms}
"""
    plan = make(parse(text))
    assert plan.feasible
    assert {p.pool for p in plan.placements} == {"weak"}
    assert planner.worth(parse(text).fleet) == {"strong": 1.0, "weak": pytest.approx(239 / 1979, rel=0.5)}


def test_a_plan_carries_the_scenario_it_was_made_from(small: Plan, tmp_path: Path) -> None:
    """A saved plan needs no other file to be run or looked at again."""
    again = eke.plan.read(small.write(tmp_path / "plan.json"))
    assert again == small
    assert parse(again.source) == parse(SMALL)


def test_what_the_cost_model_said_before_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other demand and a node less find every layout priced, and give the recipes that asking anew gives."""
    seen: dict[object, object] = {}
    planner.pose(parse(SMALL), seen=seen)
    changed = parse(SMALL.replace("rate: 40/s", "rate: 44/s").replace("nodes: 6,", "nodes: 5,"))
    anew = planner.pose(changed)
    monkeypatch.setattr(capacity, "capacities", lambda *_, **__: pytest.fail("asked again"))
    assert planner.pose(changed, seen=seen).recipes == anew.recipes


def test_a_broken_promise_is_never_kept_in_whole() -> None:
    """What is short by a thousandth is not said to be all of it."""
    assert reasons._short(0.9997) == "not quite all"
    assert reasons._short(0.52) == "52%"
