"""Replicas that start between slots: what they cost, and that there is room for them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.scenarios import SMALL, planned
from tests.plan.test_program import MODEL, recipe, train

from eke.models import catalogue
from eke.plan import branches, check, make, parse, planner, program, starts
from eke.plan.assemble import trim
from eke.plan.distribution import constant
from eke.plan.plan import Plan
from eke.plan.program import Problem
from eke.plan.recipes import Recipe
from eke.plan.scenario import Batch, Serve, Slo, Traffic

SLOT_S = 86400 / 3
DAYS = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=3, max_size=3)


Replicas = dict[str, list[int]]


def day(
    rates: list[list[float]], recipes: list[Recipe], units: dict[str, int]
) -> tuple[Problem, Replicas | None]:  # fmt: skip
    """The problem of a day of three slots, and replicas by recipe and slot of its plan after starts are paid; None
    where there is none.
    """
    loads = tuple(
        Serve(f"s{i}", "m", MODEL, Traffic(1.0, tuple(r), constant(100), constant(10)), Slo(1, 1))
        for i, r in enumerate(rates)
    )
    kinds: dict[tuple[float, ...], list[int]] = {}
    for t in range(3):
        kinds.setdefault(tuple(r[t] for r in rates), []).append(t)
    slots = tuple(tuple(s) for s in kinds.values())
    demand = {w.name: np.array([w.traffic.profile[s[0]] for s in slots]) for w in loads}
    posed = Problem(
        (*loads, train()), tuple(recipes), units, dict.fromkeys(units, 1), np.array([len(s) / 3 for s in slots]), slots,
        demand,
    )  # fmt: skip
    built = program.build(posed)
    aim = planner.aim(built)
    outcome = branches.optimise(built, aim.combined, built.promised(), seconds=5, gap=0.0)
    if outcome.x is None:
        return posed, None
    x = starts.paid(built, aim.combined, aim.tie, trim(built, outcome.x))
    found: Replicas = {}
    for k in np.flatnonzero(x[built.runs.at] > 0.5).tolist():
        r, c = int(built.runs.recipe[k]), int(built.runs.slot[k])
        for t in range(3) if c < 0 else slots[c]:
            found.setdefault(str(r), [0] * 3)[t] += round(x[built.runs.at[k]])
    return posed, found


def room(posed: Problem, found: Replicas) -> bool:
    """Whether every slot's chips hold its replicas and what starts for the next; gangs stand all day."""
    for pool, units in posed.units.items():
        for t in range(3):
            busy = 0.0
            for i, n in found.items():
                r = posed.recipes[int(i)]
                if r.pool == pool:
                    busy += r.units * (n[t] + max(0, n[(t + 1) % 3] - n[t]) * r.start_s / SLOT_S)
            if busy > units + 1e-6:
                return False
    return True


def exists(posed: Problem) -> bool:
    """Whether any replicas, slot by slot, keep the demand and have room to start; tried one by one."""
    most = [int(posed.units[r.pool] // r.units) for r in posed.recipes]
    wanted = {w.name: w.traffic.profile for w in posed.workloads if isinstance(w, Serve)}
    by_slot = []
    for t in range(3):
        fits = []
        for counts in product(*(range(m + 1) for m in most)):
            done = dict.fromkeys(wanted, 0.0)
            used = dict.fromkeys(posed.units, 0)
            for r, n in zip(posed.recipes, counts, strict=True):
                done[r.workload] += r.rate * n
                used[r.pool] += r.units * n
            if all(done[w] >= wanted[w][t] - 1e-9 for w in wanted) and all(used[p] <= posed.units[p] for p in used):
                fits.append(counts)
        by_slot.append(fits)
    return any(
        room(posed, {str(i): list(n) for i, n in enumerate(zip(*chosen, strict=True))}) for chosen in product(*by_slot)
    )


def test_a_pile_pays_for_its_starts() -> None:
    """Batch work keeps no chips free to start on: it starts in its own slot, and more of it runs for what it loses."""
    load = Serve("s0", "m", MODEL, Traffic(1.0, (8.0, 3.0, 3.0), constant(100), constant(10)), Slo(1, 1))
    pile = Batch("pile", "m", MODEL, 110 * 12e4, constant(100), constant(10))
    wanted = pile.requests_per_s
    recipes = [
        replace(recipe("s0", "serve", "a", 1, 1.0), start_s=0.0),
        replace(recipe("pile", "batch", "a", 1, wanted / 4), start_s=0.2 * SLOT_S),
    ]
    posed = Problem(
        (load, pile), tuple(recipes), {"a": 10}, {"a": 1}, np.array([1 / 3, 2 / 3]), ((0,), (1, 2)),
        {"s0": np.array([8.0, 3.0])},
    )  # fmt: skip
    built = program.build(posed)
    aim = planner.aim(built)
    outcome = branches.optimise(built, aim.combined, built.promised(), seconds=5, gap=0.0)
    assert outcome.x is not None
    x = starts.paid(built, aim.combined, aim.tie, trim(built, outcome.x))
    started = starts.of(built, x)
    mine = [k for k, i in enumerate(built.runs.recipe) if posed.recipes[i].kind == "batch"]
    done = sum(x[built.runs.at[k]] * wanted / 4 * posed.weights[built.runs.slot[k]] for k in mine)
    assert started.lost["pile"] > 0
    assert done - started.lost["pile"] >= wanted * (1 - 1e-6)
    assert not any(late.any() for late in started.late.values())


@settings(max_examples=80, deadline=None)
@given(st.lists(DAYS, min_size=1, max_size=2), st.integers(1, 3), st.integers(0, 3), st.sampled_from([0.1, 0.5]))
def test_starts_find_room_where_any_plan_has_it(rates: list[list[float]], a: int, b: int, share: float) -> None:
    """Where some choice of replicas leaves room to start, so does the plan; tried against all choices."""
    recipes = [
        replace(recipe(f"s{i}", "serve", pool, 1, rate), start_s=share * SLOT_S)
        for i in range(len(rates)) for pool, rate in (("a", 1.0), ("b", 2.0 - i))
    ]  # fmt: skip
    posed, found = day(rates, recipes, {"a": a, "b": b})
    if found is None:
        return
    assert room(posed, found) == exists(posed)


def test_a_gang_gives_way_to_what_starts() -> None:
    """Swapping one service for another on a full pool needs chips to start on: the gang that filled them is smaller."""
    rates = [[4.0, 0.0, 0.0], [0.0, 4.0, 4.0]]
    serving = [replace(recipe(f"s{i}", "serve", "a", 1, 1.0), start_s=0.1 * SLOT_S) for i in (0, 1)]
    gangs = [recipe("job", "train", "a", n, float(n)) for n in range(1, 9)]
    for start_s, size in ((0.0, 6), (0.1 * SLOT_S, 5)):
        recipes = [*(replace(r, start_s=start_s) for r in serving), *gangs]
        posed, found = day(rates, recipes, {"a": 10})
        assert found is not None
        trains = {posed.recipes[int(i)].units: n for i, n in found.items() if posed.recipes[int(i)].kind == "train"}
        assert trains == {size: [1, 1, 1]}
        assert room(posed, found)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of the small scenario: four slots a day."""
    return planned(SMALL)


def test_a_plan_tells_what_starts(plan: Plan) -> None:
    """Starts a day are the rises of the replicas placed; each costs its weights over the storage, and a minute."""
    rises, hours = 0, 0.0
    weights = catalogue.architecture("Qwen3-8B").parameters
    counts: dict[tuple[object, ...], list[int]] = {}
    for p in plan.placements:
        if p.workload == "chat":
            key = (p.pool, p.variant, p.chips_per_replica, str(p.recipe))
            counts.setdefault(key, [0] * 4)[p.slot] += p.replicas
    for (_, variant, chips, _), n in counts.items():
        more = sum(max(0, b - a) for a, b in zip(n, n[1:] + n[:1], strict=True))
        bytes_each = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0}[str(variant)] * weights
        rises += more
        hours += more * float(str(chips)) * (60 + bytes_each / 1e9 / float(str(chips))) / 3600
    chat = next(w for w in plan.workloads if w.name == "chat")
    assert chat.starts_per_day == rises > 0
    assert chat.start_chip_hours == pytest.approx(hours, rel=0.05)  # 8-bit forms keep a little in 16 bits
    assert any("replicas start a day" in n for n in plan.notes)


def test_slower_storage_costs_more(plan: Plan) -> None:
    """A tenth of the bandwidth: weights take ten times as long."""
    slow = make(parse(re.sub(r"nodes: (\d+)", r"nodes: \1, storage: 100 MB/s", SMALL)))
    assert check.faults(slow, parse(slow.source)) == []
    before, after = (next(w for w in p.workloads if w.name == "chat").start_s for p in (plan, slow))
    assert before is not None
    assert after is not None
    assert after > 60 + 5 * (before - 60) > 60


def test_the_second_look_counts_starts(plan: Plan) -> None:
    """Chips said to be starting that are not, and starts without room, are found."""
    scenario = parse(plan.source)
    assert check.faults(plan, scenario) == []
    wrong = replace(plan, pools=tuple(replace(p, starting_chips=(9.0,) * 4) for p in plan.pools))
    assert any("chips start, rather" in fault for fault in check.faults(wrong, scenario))
    tight = replace(scenario, fleet=replace(scenario.fleet, pools=tuple(
        replace(p, nodes=int(max(u.used_chips) / 8), available=1.0, storage=1e5)
        for p, u in zip(scenario.fleet.pools, plan.pools, strict=True)
    )))  # fmt: skip
    assert any("no room for" in fault for fault in check.faults(plan, tight))
