"""Prompts read by some replicas, answers written by others."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.test_program import recipe, serve

from eke.plan import Plan, apart, branches, check, load, make, parse, planner, program, savings
from eke.plan.assemble import trim
from eke.plan.optimisations import ALL
from eke.plan.program import Problem
from eke.plan.recipes import Recipe

KITCHEN = """
format: eke.scenario/1
name: kitchen-and-bar
fleet:
  pools:
    - {name: strong, chip: H800-SXM, nodes: 1, scale_out: 400 Gb/s}
    - {name: wide, chip: H20-96, nodes: 4, scale_out: 400 Gb/s}
  links: [{between: [strong, wide], bandwidth: 200 Gb/s}]
workloads:
  - serve: chat
    model: Qwen3-32B
    variants: [fp8]
    value: 1.0
    traffic: {rate: 200/s, lengths: {prompt: {p50: 3000, p90: 6000, p99: 9000}, output: {p50: 300, p90: 600, p99: 900}}}
    slo: {ttft: 2 s, tpot: 40 ms, percentile: 95}
objective: value
"""
UNDIVIDED = ("prefill-decode-split", "mixed-placement", "continuous-batching")
"""Without one of these nobody reads prompts for others."""
THIN = KITCHEN.replace("bandwidth: 200 Gb/s", "bandwidth: 1 Gb/s")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Strong chips beside wide ones, over a good link."""
    return make(parse(KITCHEN))


def roles(plan: Plan) -> set[tuple[str, str]]:
    """Roles other than both at once, and where."""
    return {(p.role, p.pool) for p in plan.placements if p.role != "mixed"}


@pytest.mark.parametrize("name", [o.name for o in ALL if o.planned and o.name != "mixed-training"])
def test_a_scenario_without_and_savings_do_without_the_same(name: str) -> None:
    """Posed anew without an optimisation, and counted by `eke savings` from recipes it has: the same recipes to serve
    with, the same demand.
    """
    text = KITCHEN.replace("p99: 900}}}", "p99: 900}}, prefix_hit: 30%}").replace("200/s", "20/s")
    scenario = parse(text.replace("    value: 1.0\n", "").replace("objective: value", "objective: fewest-chips"))
    posed = planner.pose(replace(scenario, without=frozenset({name})))
    counted = savings.Counted(scenario)._problem(frozenset({name}))
    assert set(posed.recipes) == set(counted.recipes)
    assert {r.part for r in posed.recipes} == ({""} if name in UNDIVIDED else {"", "prefill", "decode"})
    assert posed.slots == counted.slots
    assert {w: d.tolist() for w, d in posed.demand.items()} == {w: d.tolist() for w, d in counted.demand.items()}


@pytest.mark.parametrize("off", ["prefill-decode-split", "mixed-placement"])
def test_what_may_not_be_divided_is_not(off: str) -> None:
    """The problem made anew without it (as `eke savings` does, from recipes it has) has no readers and writers."""
    scenario = parse(KITCHEN)
    posed = planner.pose(scenario)
    without = replace(scenario, without=frozenset({off}))
    less = planner.problem(without, scenario.workloads, posed.recipes, planner.LARGER)
    assert any(r.part for r in posed.recipes)
    assert {r.part for r in less.recipes} == {""}


def test_strong_chips_read_and_wide_ones_write_where_it_pays(plan: Plan) -> None:
    """H800 read prompts for H20 and together give a fifth more than undivided; over a thin link, or not allowed to,
    they give what they give undivided.
    """
    thin, without = make(parse(THIN)), make(parse(KITCHEN + "without: [prefill-decode-split]\n"))
    assert roles(plan) >= {("prefill", "strong"), ("decode", "wide")}
    assert roles(without) == set()
    # Of Qwen3-32B's prompts 64 layers x 8 heads x 128 x keys and values x 2 bytes a token cross; strong has 8 chips.
    prompt = parse(KITCHEN).workloads[0].traffic.prompt.mean * 64 * 8 * 128 * 2 * 2  # type: ignore[union-attr]
    for made, link in ((plan, 200e9 / 8), (thin, 1e9 / 8)):
        crosses = sum(p.share for p in made.placements if p.role == "prefill" and p.recipe["feeds"] != p.pool)
        assert crosses * 200 <= 8 * link / prompt * (1 + 1e-6)
        assert (crosses > 0.05) == (made is plan)
    for made, text in ((plan, KITCHEN), (thin, THIN)):
        assert check.faults(made, parse(text)) == []
    values = [p.objective.value or 0.0 for p in (plan, thin, without)]
    assert values[0] > 1.2 * values[2]
    assert values[0] > 1.2 * values[1] >= 1.2 * values[2] * (1 - 1e-3)
    assert all((p.objective.gap or 0.0) < 5e-3 for p in (plan, thin, without))


@pytest.mark.parametrize("name", ["two-vendors", "mixed-fleet"])
def test_no_plan_that_divides_passes_the_bound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where service is left whole because dividing brings little, the bound holds for those who divide all the same."""
    scenario = load(Path(__file__).parents[2] / "examples" / f"{name}.yaml")
    stated = make(scenario).objective.bound
    monkeypatch.setattr(apart, "WORTH", 0.0)
    reached = make(scenario).objective.value
    assert stated is not None
    assert reached is not None
    assert reached <= stated * (1 + 1e-9)


def test_the_second_look_sees_links_and_halves(plan: Plan) -> None:
    """A plan that sends more than its link carries, or reads what nobody writes, is found out."""
    assert any("than its link carries" in fault for fault in check.faults(plan, parse(THIN)))
    lost = replace(plan, placements=tuple(p for p in plan.placements if p.role != "decode"))
    assert any("nobody read" in fault for fault in check.faults(lost, parse(KITCHEN)))


def halves(reads: float, writes: float) -> list[Recipe]:
    """Readers in a for writers in b."""
    reader = replace(recipe("s0", "serve", "a", 1, reads), part="prefill", to="b")
    return [reader, replace(recipe("s0", "serve", "b", 1, writes), part="decode")]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """One service in two pools of at most five chips, undivided and divided."""
    rate, wanted = st.sampled_from([0.0, 0.5, 1.0, 1.3, 2.0, 3.1]), st.sampled_from([1.0, 2.5, 4.0, 7.3])
    load = serve("s0", draw(wanted))
    whole = [recipe("s0", "serve", p, draw(st.sampled_from([1, 2])), draw(rate)) for p in ("a", "b")]
    units = {"a": draw(st.integers(0, 5)), "b": draw(st.integers(0, 5))}
    return Problem(
        (load,), tuple(r for r in [*whole, *halves(draw(rate), draw(rate))] if r.rate > 0), units, {"a": 1, "b": 1},
        np.ones(1), ((0,),), {"s0": np.array([load.traffic.rate_per_s])}, "fewest-chips",
    )  # fmt: skip


def fewest(posed: Problem) -> float | None:
    """The fewest chips by trying every number of replicas."""
    best = None
    for counts in product(*(range(posed.units[r.pool] // r.units + 1) for r in posed.recipes)):
        chosen = list(zip(posed.recipes, counts, strict=True))
        done = {part: sum(r.rate * n for r, n in chosen if r.part == part) for part in ("", "prefill", "decode")}
        used = {p: sum(r.units * n for r, n in chosen if r.pool == p) for p in posed.units}
        enough = done[""] + min(done["prefill"], done["decode"]) >= posed.demand["s0"][0] - 1e-9
        if enough and all(used[p] <= posed.units[p] for p in used):
            best = min(best if best is not None else np.inf, float(sum(used.values())))
    return best


@settings(max_examples=60, deadline=None)
@given(problems())
def test_equals_exhaustive_search(posed: Problem) -> None:
    """On small instances divided service takes as few chips as the best of all, or there is no way."""
    built = program.build(posed)
    aim = planner.aim(built)
    found = branches.optimise(built, aim.combined, built.promised(), seconds=10, gap=0.0)
    best = fewest(posed)
    if best is None:
        assert found.x is None
    else:
        assert found.x is not None
        assert -float(aim.primary @ trim(built, found.x)) == pytest.approx(best)
