"""How sure a number is: slopes are derivatives, and intervals hold what they say."""

from __future__ import annotations

from math import exp, isclose, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.scenarios import MIXED_QUALITY, SMALL, drawn, faster

from eke.plan import parse, planner, program
from eke.plan.interval import Estimate, Speeds, across, based, brief, initials, told
from eke.plan.program import Problem
from eke.plan.stock import GROWN, Open, lean

VARIED = SMALL.replace("slots: 4", "slots: 3")
SPEEDS = [("h800", False), ("h800", True), ("l20", False), ("l20", True)]


def posed(text: str) -> Problem:
    """The problem of a scenario, gangs up to twice a pool."""
    return planner.pose(parse(text), larger=GROWN)


def opened(problem: Problem, floor: Estimate | None = None) -> Open:
    """Its stock as a question."""
    built = program.build(problem)
    _, _, primary, promises = planner.sought(built)
    return Open(built, primary, promises, floor)


def asked(problem: Problem) -> tuple[Estimate, Estimate, Estimate]:
    """What it reaches; what of the mix, and of one pool alone, that takes with an eighth less of each prompt's rate."""
    reached = opened(problem).most()
    assert reached is not None
    slower = faster(problem, {(p, False): 0.7 for p in problem.units})
    without = opened(slower, reached * (1 - 1e-6))
    stock, pool = without.stock(), without.pool("h800")
    assert stock is not None
    assert pool is not None
    return reached, stock, pool


@pytest.fixture(scope="module")
def problem() -> Problem:
    return posed(VARIED)


@pytest.mark.parametrize("speed", SPEEDS)
def test_slopes_are_derivatives(problem: Problem, speed: tuple[str, bool]) -> None:
    """The slope that prices give is what a slightly faster chip does, of the objective and of chips needed."""
    step = 1e-4
    for now, slow, fast in zip(
        asked(problem), asked(faster(problem, {speed: exp(-step)})), asked(faster(problem, {speed: exp(step)})),
        strict=True,
    ):  # fmt: skip
        sides = sorted(((now.value - slow.value) / step, (fast.value - now.value) / step))  # unlike only at a corner
        slack = 2e-2 * max(abs(s) for s in sides) + 1e-4 * abs(now.value)
        assert sides[0] - slack <= now.slope.get(speed, 0.0) <= sides[1] + slack


@pytest.mark.parametrize("text", [VARIED, MIXED_QUALITY, VARIED.replace("train-progress", "least-energy")])
def test_lean_problems_reach_as_much(text: str) -> None:
    """Recipes that a relaxation cannot use are left out, and only those."""
    full = posed(text)
    few = lean(full)
    assert len(few.recipes) < len(full.recipes)
    a, b = opened(full), opened(few)
    for question in (Open.most, Open.stock):
        want, got = question(a), question(b)
        assert want is not None
        assert got is not None
        assert got.value == pytest.approx(want.value, rel=1e-6)


def test_gangs_of_one_kind_at_a_time() -> None:
    """What the open stock reaches is what a plan in whole gangs does, and little more: no gang of twice a pool runs
    half of the day beside another.
    """
    text = VARIED.replace("nodes: 8,", "nodes: 32,")
    plan, reached = parse(text).plan(), opened(lean(posed(text))).most()
    assert reached is not None
    assert plan.objective.value is not None
    # Sizes are asked for on a coarser grid where gangs may be twice a pool, so a little less is possible too.
    assert plan.objective.value * 0.97 <= reached.value <= plan.objective.value * 1.08


def test_an_interval_holds_what_it_says(problem: Problem) -> None:
    """Speeds drawn as the cost model has them: chips needed, asked anew, lie in the interval in 80% of draws or so."""
    speeds = Speeds.of(parse(VARIED))
    rng = np.random.default_rng(1)
    spans = [speeds.interval(e) for e in asked(problem)]
    inside = np.zeros(len(spans))
    draws = 60
    for _ in range(draws):
        times = drawn(speeds, rng)
        inside += [
            low * 0.999 <= e.value <= high * 1.001
            for (low, high), e in zip(spans, asked(faster(problem, times)), strict=True)
        ]
    assert (inside / draws >= 0.65).all(), inside / draws


@given(value=st.floats(0.1, 1e6), high=st.floats(1.05, 4.0))
def test_chips_halve_when_speeds_double(value: float, high: float) -> None:
    """What goes with 1/speed has the interval of 1/speed, from the slow end on; what goes with speed, nearly."""
    speeds = Speeds({"p": "C"}, {("C", True): log(high) / (2 * 1.2815515655446004)})
    low_end, high_end = speeds.interval(Estimate(value, {("p", True): -value}))
    assert isclose(low_end, value / high, rel_tol=1e-6)
    assert isclose(high_end, value, rel_tol=1e-6)
    low_end, high_end = speeds.interval(Estimate(value, {("p", True): value}))
    assert isclose(low_end, value, rel_tol=1e-6)
    assert value < high_end <= value * high * (1 + 1e-9)


def test_alike_chips_err_together() -> None:
    """Two pools of one kind share its error; two kinds do not."""
    sure = {("A", False): 0.2, ("B", False): 0.2}
    both = Estimate(100.0, {("p", False): -50.0, ("q", False): -50.0})
    one = Speeds({"p": "A", "q": "A"}, sure).interval(both)
    two = Speeds({"p": "A", "q": "B"}, sure).interval(both)
    assert one[1] - one[0] > two[1] - two[0]


def test_estimates_add_up() -> None:
    """Sums, differences, multiples and ratios carry slopes and the weaker basis."""
    a = Estimate(6.0, {("p", True): 3.0}, "measured")
    b = Estimate(2.0, {("p", True): 1.0, ("q", True): 2.0}, "guessed")
    assert (a - b).slope == {("p", True): 2.0, ("q", True): -2.0}
    assert (a + b).basis == "guessed"
    ratio = a / b
    assert ratio.value == 3.0
    assert ratio.slope == pytest.approx({("p", True): 0.0, ("q", True): -3.0})


def test_numbers_are_told_with_their_interval() -> None:
    """No exponents for people; an interval that says no more is not said."""
    assert told(47.2, (21.4, 65.0)) == "47.2 (21.4–65)"
    assert told(1234.0, (1000.2, 1234.0)) == "1,234 (1,000–1,234)"
    assert told(0.0, (0.0, 0.0)) == "0"
    assert across((-4.0, 2.0)) == "-4 to 2"
    assert across((3.95e-5, 0.728)) == "0–0.728"
    assert brief(1e-9) == "0"


def test_what_numbers_rest_on() -> None:
    """By what moves them: speeds of one kind of chip together, and those that cancel not at all."""
    speeds = Speeds(
        {"p": "A", "q": "A", "r": "B"}, {}, {("A", True): "modelled", ("B", True): "guessed"}
    )  # fmt: skip
    mostly = Estimate(9.0, {("p", True): 5.0, ("q", True): 4.0, ("r", True): -1.0})
    assert speeds.rests_on(mostly) == pytest.approx({"modelled": 0.9, "guessed": 0.1})
    assert speeds.rests_on(mostly, Estimate(1.0, {("r", True): 8.0})) == pytest.approx(
        {"modelled": 0.5, "guessed": 0.5}
    )
    assert speeds.rests_on(Estimate(3.0, {("p", True): 2.0, ("q", True): -2.0})) == {}
    assert based("guessed", {"modelled": 0.9, "guessed": 0.1}) == "90% modelled, 10% guessed"
    assert based("guessed", {"modelled": 1.0}) == "modelled, <1% guessed"
    assert based("modelled", {"modelled": 1.0}) == "modelled"
    assert based("guessed", {}) == "guessed"
    assert based(None, {}) == ""


@pytest.mark.parametrize(
    ("words", "letters"),
    [("modelled", "~"), ("95% modelled, 5% guessed", "~95% ?5%"), ("measured, <1% guessed", "= ?<1%"), ("", ""),
     ("guessed(x1–1.72)", "?(x1–1.72)")],
)  # fmt: skip
def test_a_basis_in_letters(words: str, letters: str) -> None:
    """Where there is no room for the words, a letter each, with the shares."""
    assert initials(words) == letters
