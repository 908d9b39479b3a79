"""Prices of a plan: of the objective and nothing else, with slopes that are derivatives and intervals that hold."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp
from pathlib import Path

import numpy as np
import pytest
from tests.plan.scenarios import SMALL, drawn, faster, planned
from tests.plan.test_program import recipe, serve

from eke.plan import load, make, parse, planner, program, read, solve
from eke.plan.interval import Estimate, Speed, Speeds
from eke.plan.marginal import Marginal
from eke.plan.options import Priced
from eke.plan.program import Problem

IDLE = SMALL.replace("chip: L20", "chip: H20-96")  # both kinds can do everything
TWO = IDLE.replace("rate: 40/s", "rate: 200/s")  # and no chip of either is left over at noon
LEAST = TWO.replace("train-progress", "least-energy").replace("deadline: 90 d", "deadline: 400 d")
SPEEDS = [(pool, trains) for pool in ("h800", "l20") for trains in (False, True)]


def posed(text: str) -> Problem:
    """The problem of a scenario, recipes that keep their promise only."""
    problem = planner.pose(parse(text))
    return replace(problem, recipes=tuple(r for r in problem.recipes if r.holds))


def priced(problem: Problem, speeds: Speeds) -> dict[str, Estimate]:
    """Its objective, and the prices of its pools and workloads."""
    built = program.build(problem)
    found = Marginal(built, planner.aim(built), speeds)
    assert found.reached is not None
    return {
        "objective": found.reached, **{p: found.pool(p) for p in problem.units},
        **{w.name: found.workload(w) for w in problem.workloads},
    }  # fmt: skip


def known(text: str, times: float = 1.0) -> Speeds:
    """How well its speeds are known, deviations so many times as wide."""
    speeds = Speeds.of(parse(text))
    return replace(speeds, deviations={k: times * d for k, d in speeds.deviations.items()})


@pytest.fixture(scope="module", params=[TWO, LEAST], ids=["train-progress", "least-energy"])
def problem(request: pytest.FixtureRequest) -> Problem:
    return posed(request.param)


@pytest.mark.parametrize("speed", SPEEDS)
def test_slopes_of_prices_are_derivatives(problem: Problem, speed: Speed) -> None:
    """What a slightly faster chip does to the objective and to every price, asked anew."""
    step, sure = 1e-5, known(TWO, 0.0)
    now, slow, fast = (priced(faster(problem, {speed: exp(x)}), sure) for x in (0.0, -step, step))
    for name, e in now.items():
        sides = sorted(((e.value - slow[name].value) / step, (fast[name].value - e.value) / step))
        slack = 2e-2 * max(abs(s) for s in sides) + 1e-3 * abs(e.value)
        assert sides[0] - slack <= e.slope.get(speed, 0.0) <= sides[1] + slack, name


@pytest.mark.parametrize(("down", "gives"), [(3, 5.0), (3, 0.9), (1, 0.2)])
def test_faster_chips_keep_what_survives(down: int, gives: float) -> None:
    """With nodes to spare for those that go down, whatever a replica gives: faster chips need fewer or as many, and no
    more nodes than there are.
    """
    w = replace(serve("s0", 1.0), survives=down)
    one = recipe("s0", "serve", "a", 2, gives)
    posed = Problem(
        (w,), (one, replace(one, spread=True)), {"a": 32, "none": 0}, {"a": 1, "none": 1}, np.ones(1), ((0,),),
        {"s0": np.ones(1)}, goal="fewest-chips", per_node={"a": 4, "none": 4},
    )  # fmt: skip
    kinds = [("chip", trains) for trains in (False, True)]
    speeds = Speeds(dict.fromkeys(posed.units, "chip"), dict.fromkeys(kinds, 0.3))
    reached = priced(posed, speeds)["objective"]
    assert reached.middle is not None
    assert reached.value * (1 + 1e-9) <= reached.middle < 0
    assert (reached.middle > reached.value * (1 - 1e-9)) == (gives < 1)


def test_an_interval_holds_most_of_what_is_drawn() -> None:
    """Speeds drawn as the cost model has them: prices asked anew lie in the interval in 80% of draws or so."""
    problem, speeds, rng = posed(TWO), known(TWO), np.random.default_rng(1)
    now, draws = priced(problem, speeds), 60
    spans = {name: speeds.interval(e) for name, e in now.items() if e.value}
    inside = dict.fromkeys(spans, 0.0)
    for _ in range(draws):
        found = priced(faster(problem, drawn(speeds, rng)), speeds)
        for name, (low, high) in spans.items():
            inside[name] += (low * 0.999 <= found[name].value <= high * 1.001) / draws
    assert set(spans) == {"objective", "h800", "l20", "chat"}
    assert min(inside.values()) >= 0.65, inside


def test_work_that_idle_chips_do_costs_nothing() -> None:
    """Prices are of the objective alone: what is preferred between equal plans is in none of them."""
    built = program.build(posed(IDLE))
    aim = planner.aim(built)
    rows, sides = built.scaled["chat"]
    relaxed = solve.relax(built, aim.combined, built.promised(aim.promises, larger=True))
    assert -float(relaxed.row_dual[rows] @ sides) > 0  # a taste for few chips
    found = priced(built.problem, known(IDLE))
    assert found["l20"] == found["chat"] == found["clean"] == Estimate(0.0)
    assert found["h800"].value > 0


def test_a_price_is_what_more_chips_bring() -> None:
    """Where the gang stands in parts over two pools, four more nodes of one, planned anew, bring their price a chip; a
    relaxation that mixes kinds of gang says a third of it.
    """
    scenario = load(Path(__file__).parents[2] / "examples" / "two-vendors.yaml")
    pool = scenario.fleet.pool("h20")
    pools = tuple(replace(p, nodes=p.nodes + 4) if p is pool else p for p in scenario.fleet.pools)
    now, more = make(scenario), make(replace(scenario, fleet=replace(scenario.fleet, pools=pools)))
    assert now.objective.value is not None
    assert more.objective.value is not None
    chips = 4 * pool.chips_per_node
    price = next(p.price for p in now.pools if p.name == "h20")
    assert price == pytest.approx((more.objective.value - now.objective.value) / chips, rel=0.2)


def test_every_price_in_a_plan_has_its_interval_and_basis(tmp_path: Path) -> None:
    """In the object, the file and what is read back from it; a plan file of before has none, and is read."""
    plan = planned(TWO)
    again = read(plan.write(tmp_path / "plan.json"))
    for made in (plan, again):
        rows = [(made.objective, "value"), *((p, "price") for p in made.pools)]
        rows += [(w, "price_per_million_tokens") for w in made.workloads]
        for row, name in rows:
            value, (low, high) = getattr(row, name), row.interval[name]
            assert low <= value <= high
            assert bool(value) == (row.basis in ("measured", "modelled", "guessed"))
            assert not row.rests_on or sum(row.rests_on.values()) == pytest.approx(1.0, abs=1e-5)
            assert not value or high > low
        job = next(w for w in made.workloads if w.kind == "train")
        for name in ("tokens_per_s", "days", "mfu"):
            assert job.interval[name][0] <= getattr(job, name) <= job.interval[name][1]
        assert job.interval["days"][0] < job.interval["days"][1]
        assert all(p.faster > 1 for p in made.placements)
    document = json.loads((tmp_path / "plan.json").read_text())
    for row in (document["objective"], *document["pools"], *document["workloads"]):
        for name in ("interval", "basis", "rests_on"):
            del row[name]
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert read(tmp_path / "old.json").pools[0].interval == {}


def test_explanations_price_as_plans_do() -> None:
    """What is posed again for an explanation has the prices that the plan tells: of all recipes, needed or not."""
    plan = planned(TWO)
    marginal = Priced(plan).marginal
    for pool in plan.pools:
        assert marginal.pool(pool.name).value == pytest.approx(pool.price, rel=1e-4, abs=1e-9)


def test_a_frame_has_both_ends() -> None:
    """Of each price, as columns."""
    pools, workloads = (planned(TWO).to_frame(which) for which in ("pools", "workloads"))
    assert {"price", "price_low", "price_high", "basis"} <= set(pools)
    assert {"price_per_million_tokens_low", "days_low", "tokens_per_s_high", "basis"} <= set(workloads)
    for price, low, high in zip(pools["price"], pools["price_low"], pools["price_high"], strict=True):
        assert low <= price <= high
