"""What chips are worth: more never hurts, and what is said agrees with planning the other stock."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.plan.scenarios import STEADY, TOO_MUCH

from eke.errors import Infeasible, UnknownName
from eke.plan import parse, planner, program
from eke.plan.stock import GROWN, Open
from eke.plan.worth import Worth, chart, worth

TINY = STEADY
KINDS = ("H800-SXM", "L20", "H20-96", "A100-SXM-80", "T4")


@pytest.fixture(scope="module")
def made() -> Worth:
    """The small scenario, with a few kinds."""
    return worth(parse(TINY), chips=KINDS, value=100.0, overhead=1.5)


def test_more_chips_never_hurt(made: Worth) -> None:
    """Along a pool's curve the objective never falls, and below its least the promises break."""
    for holding in made.holdings:
        reached = [(chips, y) for chips, y in holding.curve if y is not None]
        assert all(b[1] >= a[1] * (1 - 1e-6) for a, b in pairwise(reached))
        assert all((y is None) == (chips < holding.least * (1 - 1e-6)) for chips, y in holding.curve)
    assert all(o.adds >= 0 for o in made.offers)
    assert [o.adds for o in made.offers] == sorted((o.adds for o in made.offers), reverse=True)


def test_every_number_has_its_interval_and_basis(made: Worth) -> None:
    """What is told lies in its interval; an interval of the curve for each of its points that holds."""
    assert made.interval["reached"][0] <= made.reached <= made.interval["reached"][1]
    for o in made.offers:
        for name, value in (("adds", o.adds), ("replaces", o.replaces)):
            if value:
                assert o.basis in ("measured", "modelled", "guessed")
                assert o.interval[name][0] < value * (1 + 1e-9)
                assert value <= o.interval[name][1] * (1 + 1e-9)
    for h in made.holdings:
        assert h.basis in ("measured", "modelled", "guessed")
        for (_, y), span in zip(h.curve, h.interval["curve"], strict=True):
            assert (span is None) == (y is None)
            assert y is None or span is None or span[0] <= y <= span[1]
        for name in ("least", "lost", "power_price", "rent"):
            value = getattr(h, name)
            assert (name in h.interval) == (value is not None)
            assert value is None or h.interval[name][0] <= value <= h.interval[name][1]


def test_curves_show_their_intervals(made: Worth) -> None:
    """Every point drawn has both ends of its interval, and the chart says what the dots are."""
    pytest.importorskip("altair", reason="the extra `charts` is not installed")
    drawn = chart(made).to_dict()
    layers = [drawn, *drawn["layer"]]
    values = [row for layer in layers for row in layer.get("data", {}).get("values", [])]
    assert values
    assert all(row["low"] <= row["reached"] <= row["high"] for row in values)
    assert "80% intervals" in str(drawn["title"])


def test_what_adds_nothing_says_why(made: Worth) -> None:
    """A kind that adds nothing has a reason, one that adds something none."""
    for o in made.offers:
        assert (o.adds > 0) != bool(o.reason)


def test_prices_of_power_and_rent(made: Worth) -> None:
    """A pool is worth its power up to what it adds a day over what it draws a day."""
    for h in made.holdings:
        if h.lost is None:
            assert h.rent is None
            continue
        assert h.kilowatts is not None
        assert h.rent == pytest.approx(100.0 * h.lost / 24 / h.chips)
        assert h.power_price == pytest.approx(100.0 * h.lost / (24 * h.kilowatts))


def test_an_owned_kind_adds_what_a_larger_pool_reaches(made: Worth) -> None:
    """The worth of as many more H800 nodes as there are is what a scenario with them reaches."""
    scenario = parse(TINY)
    pools = tuple(replace(p, nodes=16, available=1.0) if p.name == "h800" else p for p in scenario.fleet.pools)
    grown = replace(scenario, fleet=replace(scenario.fleet, pools=pools))
    built = program.build(planner.pose(grown, larger=GROWN))
    goal = planner.aim(built)
    most = Open(built, goal.primary, goal.promises).most()
    assert most is not None
    adds = {o.chip: o.adds for o in made.offers}
    assert made.reached + 8 * adds["H800-SXM"] == pytest.approx(
        most.value, rel=0.08
    )  # shares of a step are set anew there


def test_bad_questions() -> None:
    """Unknown chips, and scenarios whose promises do not hold."""
    with pytest.raises(UnknownName):
        worth(parse(TINY), chips=["H900"])
    with pytest.raises(Infeasible):
        worth(parse(TOO_MUCH), chips=["L20"])
