"""What optimisations are worth: counted by the same program, monotone, and adding up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.scenarios import SMALL, TOO_MUCH

from eke.errors import Infeasible, InputError
from eke.plan import parse, planner, recipes, savings, serving
from eke.plan.distribution import Distribution, constant
from eke.plan.optimisations import ALL, NAMES
from eke.plan.savings import Savings, steps

TINY = (
    SMALL.replace("slots: 4", "slots: 3")
    .replace("office-day, lengths", "office-day, prefix_hit: 40%, lengths")
    .replace("    slo:", "    alternatives: [{model: Qwen3-4B, quality: 0.98, share: 50%}]\n    slo:")
)
PLANNED = [o.name for o in ALL if o.planned]


@pytest.fixture(scope="module")
def made() -> Savings:
    """The small scenario's savings."""
    return savings.savings(parse(TINY))


@pytest.fixture(scope="module")
def counted() -> Iterator[savings.Counted]:
    """Chips the small scenario takes, without whatever; no recipe is left out for being only slightly better."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "SLIGHT", 0.0)
        patch.setattr(serving, "POOR", 0.0)
        yield savings.Counted(parse(TINY))


def test_every_optimisation_is_told(made: Savings) -> None:
    """Used ones with their worth, the others with the reason."""
    assert [o.name for o in made.optimisations] == list(NAMES)
    for o in made.optimisations:
        assert o.used or o.reason
        assert set(o.chips_saved) == ({"h800", "l20"} if o.used else set())
    by_name = {o.name: o for o in made.optimisations}
    for o in made.optimisations:
        if o.used:  # it saves chips beside the others, or says why it does not
            saves = any(x is None or x > 0 for x in o.chips_saved.values())
            why = f"{savings.IDLE} (" if saves else savings.LOST
            assert (o.stock_saved or 0) > 0 or (o.reason or "").startswith(why), o.name
    assert by_name["speculative-decoding"].reason == "no acceptance rate is known for these models on this traffic"
    assert by_name["mixed-training"].used, "H800 and L20 are of one vendor"


def test_every_number_has_its_interval_and_basis(made: Savings) -> None:
    """Each number lies in its interval, which is wider than nothing where it is more than nothing; JSON says so."""
    assert made.basis in ("measured", "modelled", "guessed")
    assert made.interval["bare"][0] <= (made.bare or 0.0) <= made.interval["bare"][1]
    for name, share in made.shared.items():
        assert made.interval["shared"][name][0] <= share <= made.interval["shared"][name][1]
    for o in made.optimisations:
        if not o.used:
            assert o.basis is None
            continue
        assert o.basis in ("measured", "modelled", "guessed")
        told = {"stock_saved": o.stock_saved, "alone": o.alone, "fair_share": o.fair_share}
        for name, value in [*told.items(), *o.chips_saved.items()]:
            span = o.interval["chips_saved"].get(name) if name in o.chips_saved else o.interval.get(name)
            assert (span is None) == (value is None)
            if value is not None and span is not None:
                assert span[0] - 1e-9 <= value <= span[1] + 1e-9
                assert value < 0.5 or span[1] > span[0]


@pytest.mark.parametrize(("nodes", "short"), [(6, False), (1, True)])
def test_hits_save_of_the_mix_where_chips_that_serve_are_short(nodes: int, short: bool) -> None:
    """Cached prefixes spare chips of the pool that serves. Where that has plenty, its chips stay idle in the mix, which
    training on the others decides, and nothing of the mix is saved; where it is short, service stands on the others'
    chips, and the mix is smaller.
    """
    counted = savings.Counted(parse(TINY.replace("nodes: 6,", f"nodes: {nodes},")))
    (mix, each), (mix_without, each_without) = (counted.both(frozenset(off)) for off in ((), ("prefix-caching",)))
    assert mix is not None
    assert mix_without is not None
    needed, needed_without = each["l20"], each_without["l20"]
    assert needed is not None
    assert needed_without is not None
    assert needed_without.value > 1.2 * needed.value  # 40% of prompt tokens hit
    owned = 8.0 * nodes
    assert (needed_without.value > owned) == short
    assert (mix_without.value - mix.value > 0.1) == short
    assert short or mix_without.value == pytest.approx(mix.value, rel=1e-9)


def test_fair_shares_add_up(made: Savings) -> None:
    """Shapley's values share out exactly what lies between nothing and everything; members share their group's."""
    assert made.bare is not None
    assert sum(made.shared.values()) == pytest.approx(made.bare - made.needed, rel=1e-6)
    for group, share in made.shared.items():
        assert sum(o.fair_share or 0.0 for o in made.optimisations if o.group == group) == pytest.approx(share)
    assert steps(made)[0][2] == made.bare
    assert steps(made)[-1][2] == made.needed


@settings(max_examples=12, deadline=None)
@given(st.sets(st.sampled_from([n for n in PLANNED if n != "mixed-placement"])), st.data())
def test_less_software_never_frees_chips(counted: savings.Counted, off: set[str], data: st.DataObject) -> None:
    """Whatever else is missing, one optimisation less takes as many chips or more.

    An equal share for every pool is left out: which share is equal depends on the recipes.
    """
    back = data.draw(st.sampled_from(sorted(off) or ["fp8"]))
    without, having = counted.stock(frozenset(off)), counted.stock(frozenset(off - {back}))
    assert having is not None
    assert without is None or without.value >= having.value * (1 - 1e-6)


def test_chips_saved_are_what_replaces_it() -> None:
    """With as many more chips of a kind as it saves, a stock reaches without it what it reached with it: in whole
    nodes, between the next fewer and the next more.
    """
    scenario = parse(TINY)
    counted = savings.Counted(scenario)
    off = frozenset({"prefix-caching"})
    more = counted.both(off)[1]["h800"]
    assert more is not None

    def reached(nodes: int) -> float:
        pools = tuple(
            replace(p, nodes=nodes, available=1.0) if p.name == "h800" else p for p in scenario.fleet.pools
        )  # fmt: skip
        grown = replace(scenario, fleet=replace(scenario.fleet, pools=pools), without=off)
        return savings.Counted(grown).reached.value

    fewer, least = reached(floor(more.value / 8)), reached(ceil(more.value / 8))
    assert fewer * 0.98 <= counted.reached.value <= least * 1.02  # shares of a step are set anew in another stock


def test_a_plan_does_without() -> None:
    """`without` in a scenario is obeyed: no such precision, no part of a gang, one plan all day."""
    text = TINY.replace(
        "objective:", "without: [int8, int4, fp8, mixed-training, day-night, smaller-models]\nobjective:"
    )
    problem = planner.pose(parse(text))
    assert {r.variant for r in problem.recipes} <= {"bf16", "fp16"}
    assert not any(r.joint for r in problem.recipes)
    assert {r.model for r in problem.recipes} == {"Qwen3-8B"}
    assert len(problem.weights) == 1
    assert parse(text).plan().feasible


def test_names_are_checked() -> None:
    """A name nobody knows is told with its key."""
    with pytest.raises(InputError, match=r"without.*prefix-cashing"):
        parse(TINY.replace("objective:", "without: [prefix-cashing]\nobjective:"))


def test_no_demand_no_savings() -> None:
    """Promises that cannot be kept have no chips to count."""
    with pytest.raises(Infeasible, match="not all promises"):
        savings.savings(parse(TOO_MUCH))


def test_the_longest_of_a_batch() -> None:
    """Expected largest of n draws, against the formula for two equally likely values."""
    two = Distribution((10.0, 30.0))
    assert two.largest(1) == pytest.approx(two.mean)
    assert two.largest(3) == pytest.approx(10 / 8 + 30 * 7 / 8)
    assert constant(7.0).largest(100) == 7.0
