"""Promises that hold with nodes down: every node is taken down in turn, however replicas are packed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.scenarios import LENGTHS, MIXED_QUALITY, SMALL, planned
from tests.plan.test_program import recipe, serve

from eke.errors import InputError
from eke.plan import branches, check, make, parse, planner, program
from eke.plan.assemble import trim
from eke.plan.plan import Plan
from eke.plan.program import Problem
from eke.plan.recipes import Recipe

NODE = 4


def packings(counts: tuple[int, ...], recipes: list[Recipe], nodes: int) -> Iterator[list[list[int]]]:
    """Every way to put replicas of one pool on its nodes: for each node how many of each recipe."""
    if not nodes:
        if not any(counts):
            yield []
        return
    for here in product(*(range(min(n, 1 if r.spread else n) + 1) for n, r in zip(counts, recipes, strict=True))):
        if sum(n * r.units for n, r in zip(here, recipes, strict=True)) <= NODE:
            rest = tuple(n - h for n, h in zip(counts, here, strict=True))
            for more in packings(rest, recipes, nodes - 1):
                yield [list(here), *more]


def survives(posed: Problem, chosen: dict[Recipe, int], down: int) -> bool:
    """Whether the demand is met however `chosen` is packed, whichever nodes go down; and it can be packed at all."""
    wanted = sum(float(d[0]) for d in posed.demand.values())
    all_lost = []
    for pool, units in posed.units.items():
        mine = [(r, n) for r, n in chosen.items() if r.pool == pool and n]
        recipes, counts = [r for r, _ in mine], tuple(n for _, n in mine)
        ways = list(packings(counts, recipes, units // NODE))
        if not ways:
            return False
        lost = [
            sorted((sum(n * r.rate for n, r in zip(node, recipes, strict=True)) for node in way), reverse=True)
            for way in ways
        ]
        all_lost.append(lost)
    capacity = sum(r.rate * n for r, n in chosen.items())
    for way in product(*all_lost):
        nodes = [rate for pool in way for rate in pool]
        if any(capacity - sum(gone) < wanted - 1e-9 for gone in combinations(nodes, min(down, len(nodes)))):
            return False
    return True


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([0.5, 2.0, 3.5, 6.0]), st.integers(0, 3), st.integers(0, 2), st.sampled_from([1, 2, 4]),
    st.sampled_from([0.5, 1.0, 2.5]), st.integers(1, 2),
)  # fmt: skip
def test_any_nodes_may_go_down(rate: float, a: int, b: int, size: int, gives: float, down: int) -> None:
    """What is planned meets the demand whichever nodes go down, in every packing; and whoever finds fewer chips by
    trying everything breaks that.
    """
    w = replace(serve("s0", rate), survives=down)
    plain = [recipe("s0", "serve", "a", size, gives), recipe("s0", "serve", "b", 1, 1.0)]
    nodes = {"a": a, "b": b}
    recipes = [*plain, *(replace(r, spread=True) for r in plain if r.units < NODE and nodes[r.pool] > down)]
    posed = Problem(
        (w,), tuple(recipes), {"a": NODE * a, "b": NODE * b}, {"a": 1, "b": 1}, np.ones(1), ((0,),),
        {"s0": np.array([rate])}, goal="fewest-chips", per_node={"a": NODE, "b": NODE},
    )  # fmt: skip
    built = program.build(posed)
    aim = planner.aim(built)
    outcome = branches.optimise(built, aim.combined, built.promised(), seconds=5, gap=0.0)
    if outcome.x is None:
        return
    x = trim(built, outcome.x)
    chosen = {recipes[i]: round(x[c]) for i, c in zip(built.runs.recipe.tolist(), built.runs.at.tolist(), strict=True)}
    assert survives(posed, chosen, down)
    fewer = {r: n for r, n in chosen.items() if n}
    for r in fewer:  # nothing is superfluous: one replica less is one too few, or a node's worth was kept to be safe
        assert survives(posed, {**fewer, r: fewer[r] - 1}, 0) or not survives(posed, {**fewer, r: fewer[r] - 1}, down)


def test_a_node_is_kept_for_many_and_a_replica_for_few() -> None:
    """A busy service keeps one node's worth; one that needs two replicas keeps a third, each on its own node."""
    few = plan_of(3.5, 6)
    assert few == {("a", True): 5}
    assert plan_of(40.0, 12) == {("a", False): 44}


def plan_of(rate: float, nodes: int) -> dict[tuple[str, bool], int]:
    """Replicas by pool and spread, of one recipe that answers a request/s a chip."""
    one = recipe("s0", "serve", "a", 1, 1.0)
    spread = [replace(one, spread=True)] if rate + 1 <= nodes else []
    posed = Problem(
        (replace(serve("s0", rate), survives=1),), (one, *spread), {"a": NODE * nodes}, {"a": 1}, np.ones(1), ((0,),),
        {"s0": np.array([rate])}, per_node={"a": NODE},
    )  # fmt: skip
    built = program.build(posed)
    aim = planner.aim(built)
    outcome = branches.optimise(built, aim.combined, built.promised(), seconds=5, gap=0.0)
    assert outcome.x is not None
    x = trim(built, outcome.x)
    return {
        (posed.recipes[i].pool, posed.recipes[i].spread): round(x[c])
        for i, c in zip(built.runs.recipe.tolist(), built.runs.at.tolist(), strict=True) if x[c] > 0.5
    }  # fmt: skip


SAFE = SMALL.replace("    slo: {ttft: 2 s", "    survives: 1 node\n    slo: {ttft: 2 s")


@pytest.fixture(scope="module")
def safe() -> Plan:
    """The small scenario with a service that survives any node."""
    return make(parse(SAFE))


def test_a_plan_survives_each_of_its_nodes(safe: Plan) -> None:
    """Each pool's worst node is taken down: what is left of every slot's capacity is the demand, or more."""
    assert safe.feasible
    assert check.faults(safe, parse(SAFE)) == []
    chat = next(w for w in safe.workloads if w.name == "chat")
    for t, asked in enumerate(chat.demand_rps or ()):
        here = [p for p in safe.placements if p.workload == "chat" and p.slot == t]
        capacity = sum(p.capacity["requests_per_s"] for p in here)
        for p in here:  # a node full of this recipe, or the replica that is alone on it
            each = p.capacity["requests_per_s"] / p.replicas
            many = 1 if p.recipe.get("per_node") == 1 else min(p.replicas, max(1, int(8 // p.chips_per_replica)))
            assert capacity - many * each >= asked * (1 - 1e-6)
    plain = planned(SMALL)
    assert check.faults(plain, parse(SAFE))  # which the plan that was not asked to does not
    assert any("any node down" in n for n in safe.notes)
    assert (safe.objective.gap or 0.0) <= 0.01


def test_the_smaller_model_survives_as_well() -> None:
    """Shares of several models each keep their own node's worth."""
    text = MIXED_QUALITY.replace("    slo:", "    survives: 1\n    slo:").replace("nodes: 12", "nodes: 24")
    plan = make(parse(text))
    assert plan.feasible
    assert check.faults(plan, parse(text)) == []


def test_what_cannot_survive_says_so() -> None:
    """One node cannot survive its own loss."""
    text = f"""
format: eke.scenario/1
name: alone
fleet: {{pools: [{{name: l20, chip: L20, nodes: 1}}]}}
workloads:
  - serve: chat
    model: Qwen3-8B
    survives: 1 node
    traffic: {{rate: 1/s, lengths: {LENGTHS}}}
    slo: {{ttft: 2 s, tpot: 60 ms}}
"""
    plan = make(parse(text))
    assert not plan.feasible
    (conflict,) = plan.infeasible_because
    assert "with any node down" in conflict.reason
    assert any("more L20 node" in r for r in conflict.repairs)
    assert any("surviving no node" in r for r in conflict.repairs)


def test_nodes_are_whole() -> None:
    """Half a node, or a word, is refused."""
    with pytest.raises(InputError, match="survives"):
        parse(SAFE.replace("survives: 1 node", "survives: some"))
    assert parse(SAFE).workloads[0].survives == 1  # type: ignore[union-attr]
