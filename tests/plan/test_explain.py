"""Explanations: prices that hold when the program is asked, and sentences that say what is so."""

from __future__ import annotations

import json

import pytest
from tests.plan.scenarios import SMALL, TOO_MUCH, faster, planned

from eke.errors import InputError, UnknownName
from eke.plan import advantage, make, parse, planner, rules
from eke.plan.explain import Explainer
from eke.plan.show_why import bar, tables

TWO = SMALL.replace("chip: L20", "chip: H20-96")


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    """A plan of two kinds of chips that can both do everything."""
    return Explainer(make(parse(TWO)))


def test_the_pool_that_gives_up_least_has_the_advantage(explainer: Explainer) -> None:
    """What is given up is training of a chip over requests of a chip; the least has advantage 1; a strong chip is ahead
    in both and has the advantage in one of them only.
    """
    rows = {
        (r.workload, r.pool): r for r in advantage.worths(explainer.plan, explainer.problem, explainer.priced.speeds)
    }
    chat = {pool: rows["chat", pool] for pool in ("h800", "l20")}
    for pool, r in chat.items():
        assert r.gives_up == pytest.approx(rows["next", pool].rate / r.rate)
    assert max(r.advantage or 0.0 for r in chat.values()) == 1.0
    assert chat["h800"].ahead == rows["next", "h800"].ahead == 1.0
    least = min(chat.values(), key=lambda r: r.gives_up or 0.0)
    assert least.advantage == 1.0


def test_the_cost_of_an_option_is_what_forcing_it_costs(explainer: Explainer) -> None:
    """To do all of a workload in a pool that the plan leaves out costs at least what its reduced costs say, when the
    scenario is held to that pool and planned again; what the plan does costs nothing.
    """
    plan = explainer.plan
    (chat,) = (w for w in explainer.problem.workloads if w.name == "chat")
    options = explainer.priced.options(chat)
    assert options[0].loses == pytest.approx(0.0, abs=1e-6 * (plan.objective.value or 0.0))
    for option in options:
        assert option.loses is not None
        held = make(parse(TWO.replace("    slo: {ttft: 2 s", f"    pools: [{option.pool}]\n    slo: {{ttft: 2 s")))
        assert held.objective.value is not None
        assert plan.objective.bound is not None
        assert held.objective.value <= plan.objective.bound - option.loses + 0.01 * plan.objective.bound


def test_every_figure_has_its_interval_and_basis(explainer: Explainer) -> None:
    """Of what chips do and give up, what else would cost, what binds, and what rules of thumb lose; each lies in its
    own, and what is told of speeds is what the cost model says of them.
    """
    why, faster = explainer.all(), explainer.priced.speeds.faster
    shown = [(w, ("rate", "ahead", "gives_up", "advantage")) for w in why.worths if w.rate]
    shown += [(o, ("chips", "loses", "loses_chips", "tokens_per_s", "ttft_s", "tpot_s")) for o in why.options]
    shown += [(b, ("price",)) for b in why.binds]
    shown += [(r, ("value", "loses", "alone", "loses_alone")) for r in why.rules]
    told = 0
    for row, names in shown:
        for name in names:
            if (value := getattr(row, name)) is not None and name in row.interval:
                low, high = row.interval[name]
                assert low - 1e-9 <= value <= high + 1e-9
                told += high > low
        assert row.basis in ("measured", "modelled", "guessed") or not row.interval or row.interval["price"] == (0, 0)
    assert told > 20
    for w in why.worths:
        if w.rate:
            assert w.interval["rate"][1] == pytest.approx(w.rate * faster((w.pool, w.kind == "train")), rel=0.2)
    assert all("loses" in r.interval for r in why.rules if r.loses is not None)


def test_what_a_rule_loses_with_faster_chips(explainer: Explainer) -> None:
    """What is said of a rule with every speed in the middle is what it reaches when it is followed there."""
    speeds, problem = explainer.priced.speeds, explainer.problem
    made, marginal = rules.moving(rules.RULES[0], explainer.priced.scenario, problem, speeds)
    assert made.objective.value is not None
    assert marginal.reached is not None
    middle = {(p, trains): speeds.middle((p, trains)) for p in problem.units for trains in (False, True)}
    anew = rules.follow(rules.RULES[0], explainer.priced.scenario, faster(problem, middle))
    assert anew.objective.value is not None
    assert marginal.reached.middle is not None
    grows = anew.objective.value / made.objective.value
    assert marginal.reached.middle / marginal.reached.value == pytest.approx(grows, rel=0.05)


def test_it_says_what_is_so(explainer: Explainer) -> None:
    """The whole plan, each workload and each pool have something to say; names and rows are of what was asked."""
    everything = explainer.all()
    assert {r.rule for r in everything.rules} >= {"strong trains, weak serves", "least cost per model"}
    assert all((r.loses or 0.0) >= -5e-3 for r in everything.rules)
    assert any("rule of thumb" in line for line in everything.says)
    assert json.loads(json.dumps(everything.to_dict()))["format"] == "eke.explain/1"
    for name in ("chat", "next", "clean", "h800", "l20"):
        why = explainer.of(name)
        assert why.what == name
        assert name in why.says[0]
        assert all(name in (o.workload, o.pool) for o in why.options)
        assert all(len({tuple(r) for r in rows}) == 1 for _, rows in tables(why))


def test_a_chip_that_is_too_slow_is_said_to_be() -> None:
    """Where no recipe keeps the promise, the reason names what it reaches."""
    text = SMALL.replace("ttft: 2 s, tpot: 60 ms", "ttft: 300 ms, tpot: 12 ms")
    (chat,) = (o for o in Explainer(make(parse(text))).of("chat").options if o.pool == "l20")
    assert "too slow" in chat.why_not
    assert "12 ms" in chat.why_not


def test_what_nobody_knows_is_asked_back(explainer: Explainer) -> None:
    """An unknown name, or a plan without placements, is an input error."""
    with pytest.raises(UnknownName):
        explainer.of("chats")
    with pytest.raises(InputError, match="nothing to explain"):
        Explainer(planned(TOO_MUCH))


def test_a_plan_of_nothing_says_why() -> None:
    """Where promises break, that is the one answer: why, and what would make them hold; no tables of rules."""
    plan = planned(TOO_MUCH)
    why = plan.explain()
    assert why.says[0] == "No plan on this stock keeps all promises."
    assert plan.infeasible_because[0].reason in why.says[1]
    assert plan.infeasible_because[0].repairs[0] in why.says[1]
    assert tables(why) == []


def test_without_training_the_first_workload_is_the_measure() -> None:
    """Comparative advantage needs no training."""
    text = SMALL.split("  - train: next")[0] + "objective: fewest-chips\n"
    problem = planner.pose(parse(text))
    assert advantage.base(problem) == "chat"
    assert Explainer(make(parse(text))).all().says


def test_bars_are_as_long_as_they_should_be() -> None:
    """A bar of 1 is the longest, of 0 empty, and they grow."""
    assert len(bar(1.0)) == len(bar(2.0)) == 10
    assert bar(0.0) == ""
    assert bar(0.51)[:5] == "█████"
