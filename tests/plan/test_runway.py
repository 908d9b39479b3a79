"""How long the stock lasts: dates, chances, monotone where it must be, and one clear error each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eke.errors import InputError
from eke.plan import Scenario, parse
from eke.plan.gangs import MOVE_S
from eke.plan.runway import Runway, make
from eke.plan.runway.run import Outlooks, fewer_slots
from eke.plan.runway.stock import losses
from eke.plan.runway.timeline import ends, until
from eke.units import SECONDS

from .scenarios import SMALL, over_a_year

MONTH_S = SECONDS["mo"]
GROWING = over_a_year(4.0, SMALL.replace("nodes: 8,", "nodes: 16,"))
FEW = 60
FAR = 1e9


@pytest.fixture(scope="module")
def growing() -> Scenario:
    return parse(GROWING)


@pytest.fixture(scope="module")
def runway(growing: Scenario) -> Runway:
    return make(growing, samples=FEW)


def test_every_key_that_scripts_read(runway: Runway) -> None:
    """The format and its keys; dates in order; each generation begins when the one before ends."""
    told = runway.to_dict()
    assert told["format"] == "eke.runway/1"
    first = told["generations"][0]
    assert {"name", "start_days", "end_days", "chance", "pools", "binds"} <= first.keys()
    assert first["name"] == "next"
    assert first["start_days"] == {"p10": 0.0, "p50": 0.0, "p90": 0.0}
    assert set(told["suffices_until"]) >= {"serving_days", "training_days"}
    assert isinstance(told["first_to_run_out"], str)
    for a, b in zip(runway.generations, runway.generations[1:], strict=False):
        assert a.end_days == b.start_days
        assert a.chance >= b.chance
        assert b.flop == pytest.approx(4 * a.flop)
        assert b.parameters == pytest.approx(2 * a.parameters, rel=0.05)
    for g in runway.generations:
        dates = [d if d is not None else FAR for d in g.end_days.values()]
        assert dates == sorted(dates)


def test_the_failures_taken_give_the_dates_told(runway: Runway) -> None:
    """The row of failures as they are taken is the runway itself; more of them end no generation sooner."""
    seldom, taken, often = runway.failures
    for g in runway.generations:
        assert taken.end_days[g.name] == g.end_days["p50"]
        assert taken.interval_days[g.name] == (g.end_days["p10"], g.end_days["p90"])
        days = [s.end_days[g.name] if s.end_days[g.name] is not None else FAR for s in (seldom, taken, often)]
        assert days == sorted(days)
    assert taken.generations == pytest.approx(runway.expected_generations, abs=2e-3)


def test_same_seed_same_result(growing: Scenario, runway: Runway) -> None:
    """Deterministic under a seed; another seed is another draw."""
    again = make(growing, samples=FEW)
    assert again.generations == runway.generations
    assert make(growing, samples=FEW, seed=1).generations != runway.generations


def test_prices_bound_every_month(growing: Scenario) -> None:
    """The envelope is never below the program's own value, and close to it, in months it was not made from."""
    o = Outlooks(growing, samples=FEW)
    t = o.trained()[0]
    rng = np.random.default_rng(5)
    gaps = []
    for _ in range(30):
        s, m = int(rng.integers(FEW)), int(rng.integers(o.futures.months))
        way = t.ways[int(t.way[s, m])]
        bound = float(o.strength(way, np.array([s]))[0, m])
        speed = o.speed(way, np.array([s]))[0]
        found = o.month.train(o.chips[s, m], o.kept_growth[s, m] * (1 - 1e-9), o.totals[m], speed, way.moves)
        assert found is not None
        assert bound >= found.value * (1 - 1e-6)
        gaps.append(bound / found.value - 1)
    assert np.mean(gaps) < 0.01


def test_a_month_trains_what_the_plan_does(runway: Runway) -> None:
    """Today's month, at the plan's speeds, trains what the plan in whole replicas does, to a few per cent; and says by
    how much it differs.
    """
    now = runway.today
    assert now.tokens_per_s is not None
    assert now.plan_tokens_per_s is not None
    assert now.tokens_per_s == pytest.approx(now.plan_tokens_per_s, rel=0.04)
    assert runway.to_dict()["today"]["difference"] == pytest.approx(now.tokens_per_s / now.plan_tokens_per_s - 1)


@pytest.fixture(scope="module")
def base(growing: Scenario) -> tuple[float, list[float], float]:
    return score(growing)


def score(s: Scenario) -> tuple[float, list[float], float]:
    """Generations done in the mean, median ends, and until when serving suffices."""
    r = make(s, samples=16)
    dates = [g.end_days["p50"] for g in r.generations]
    until = r.serving_until["p50"]
    return r.expected_generations, [FAR if d is None else d for d in dates], FAR if until is None else until


def not_later(a: list[float], b: list[float]) -> bool:
    """Whether no end in `a` is later than in `b`, to half a per cent."""
    return all(x <= y * 1.005 + 0.2 for x, y in zip(a, b, strict=False))


@given(pool=st.sampled_from([0, 1]), nodes=st.integers(1, 12))
@settings(max_examples=4, deadline=None)
def test_more_chips_never_shorten_it(
    growing: Scenario, base: tuple[float, list[float], float], pool: int, nodes: int
) -> None:
    """A pool with more nodes: no generation ends later, none fewer are done, serving suffices as long."""
    pools = list(growing.fleet.pools)
    pools[pool] = replace(pools[pool], nodes=pools[pool].nodes + nodes)
    more = score(replace(growing, fleet=replace(growing.fleet, pools=tuple(pools))))
    assert not_later(more[1], base[1])
    assert more[0] >= base[0] - 0.005
    assert more[2] >= base[2] - 1.0


@given(which=st.sampled_from(["serving_growth_per_s", "attrition_per_s", "compute_growth"]), by=st.floats(1.05, 3.0))
@settings(max_examples=4, deadline=None)
def test_more_growth_never_lengthens_it(
    growing: Scenario, base: tuple[float, list[float], float], which: str, by: float
) -> None:
    """Faster growth of serving or of compute, or more attrition: no generation ends earlier, none more are done."""
    g = growing.generations
    assert g is not None
    was = getattr(g, which)
    new = tuple((n, r * by) for n, r in was) if isinstance(was, tuple) else was * by
    worse = score(replace(growing, generations=replace(g, **{which: new})))
    assert not_later(base[1], worse[1])
    assert base[0] >= worse[0] - 0.005
    assert base[2] >= worse[2] - 1.0


@given(n=st.integers(0, 40_000), more=st.integers(0, 5_000), q=st.floats(0.0, 0.5), luck=st.floats(1e-6, 1 - 1e-6))
def test_losses_grow_with_chips_but_leave_more(n: int, more: int, q: float, luck: float) -> None:
    """More chips lose no fewer and leave no fewer, in the same luck; a chip's worth of rounding aside."""
    a, b = losses(np.array([float(n), float(n + more)]), q, np.array([luck, luck]))
    assert 0 <= a <= n
    assert b >= a - 1
    assert n + more - b >= n - a - 1


def test_losses_are_binomial() -> None:
    """Mean and variance, where each is counted and where the normal stands in."""
    luck = (np.arange(20_000) + 0.5) / 20_000
    for n, q in ((200, 0.05), (40_000, 0.01)):
        lost = losses(np.full(20_000, float(n)), q, luck)
        assert lost.mean() == pytest.approx(n * q, rel=0.01)
        assert lost.var() == pytest.approx(n * q * (1 - q), rel=0.05)


def test_dates_from_rates() -> None:
    """An end lies where its tokens are done: within a month, over months, or never."""
    rate = np.array([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    found = ends(rate, np.array([0.0, 0.5 * MONTH_S, 0.0]), 2.0 * MONTH_S)
    assert found[:2] == pytest.approx([1.5 * MONTH_S, 2.5 * MONTH_S])
    assert np.isinf(found[2])


def test_when_slack_ends() -> None:
    """It ends between the months where it changes its sign; at once; or never."""
    found = until(np.array([[1.0, -1.0, -2.0], [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
    assert found[:2] == pytest.approx([1.0 * MONTH_S, 0.0])
    assert np.isinf(found[2])


def test_fewer_slots_ask_for_as_much(growing: Scenario) -> None:
    """Slots that are made one keep the day's requests and its length."""
    problem = Outlooks(replace(growing, slots=2), samples=1).problem
    one = fewer_slots(problem, 1)
    for n, d in problem.demand.items():
        assert float(one.weights @ one.demand[n]) == pytest.approx(float(problem.weights @ d))
    assert one.slot_s == problem.slot_s
    assert one.slot_s > MOVE_S


def test_serving_that_outgrows_the_stock(growing: Scenario) -> None:
    """When requests double every month, serving stops sufficing, then training has nothing, and a chip is named."""
    g = replace(growing.generations, serving_growth_per_s=1.5 / MONTH_S)  # type: ignore[type-var]
    r = make(replace(growing, generations=g), samples=20)
    assert r.serving_until["p90"] is not None
    assert r.serving_until["p10"] < r.serving_until["p90"] < 365  # type: ignore[operator]
    assert any(p.name in r.first_to_run_out for p in growing.fleet.pools)
    assert sum(r.runs_out.values()) == pytest.approx(1.0, abs=0.01)


def test_without_generations_it_says_what_it_assumes() -> None:
    """Growth is assumed from published models, and said; a deadline of its own is not needed."""
    r = make(parse(SMALL), samples=5)
    assert "no `generations`" in r.assumptions[0]
    assert r.generations[0].name == "next"


def test_unknown_failure_rates_are_called_unknown() -> None:
    """A domestic chip has no published failure rate: that is said, beside what another would do."""
    r = make(parse(GROWING.replace("chip: L20", "chip: Ascend-910B2")), samples=5)
    assert any("failure rate unknown" in a for a in r.assumptions)
    assert {s.failures for s in r.failures} == {0.25, 1.0, 4.0}
    assert r.failures[0].generations >= r.failures[-1].generations


def wrong(text: str, **options: object) -> InputError:
    with pytest.raises(InputError) as error:
        make(parse(text), **options)  # type: ignore[arg-type]
    return error.value


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("compute_growth: 4.0", "compute_growth: 0", "compute_growth"),
        ("compute_growth: 4.0", "compute_growth: -3", "compute_growth"),
        ("model_growth: 2.0", "model_growth: .nan", "model_growth"),
        ("serving_growth: 5%/mo", "serving_growth: 5000%/mo", "serving_growth"),
        ("serving_growth: 5%/mo", "serving_growth: 5%", "serving_growth"),
        ("horizon: 12 mo", "horizon: 0 mo", "horizon"),
        ("horizon: 12 mo", "horizon: 100 y", "horizon"),
        ("chance: 50%", "chance: 150%", "chance"),
        ("chance: 50%", "chance: -1%", "chance"),
        ("first: next", "first: chat", "first"),
        ("pool: l20, nodes: 4,", "pool: l21, nodes: 4,", "l21"),
        ("mean_time_between_failures: 40 kh", "mean_time_between_failures: 0 h", "mean_time_between_failures"),
    ],
)
def test_impossible_numbers_are_one_error(old: str, new: str, said: str) -> None:
    """Growth, horizons, chances: the key and what would do."""
    assert old in GROWING
    assert said in wrong(GROWING.replace(old, new)).what


def test_an_empty_fleet_is_one_error() -> None:
    """No nodes, none arriving."""
    text = GROWING.replace("nodes: 16,", "nodes: 0,").replace("nodes: 6,", "nodes: 0,")
    text = text.replace("chance: 50%", "chance: 0")
    assert "no nodes" in wrong(text).what


def test_nothing_to_train_is_one_error() -> None:
    """A scenario without training is told how one looks."""
    before, _, rest = SMALL.partition("  - train: next")
    text = before + "  - batch: clean" + rest.partition("  - batch: clean")[2]
    error = wrong(text)
    assert "no training" in error.what
    assert "compute_growth" in error.remedy


@pytest.mark.parametrize("options", [{"samples": 0}, {"samples": 10**7}, {"seed": -1}, {"horizon_s": -5.0}])
def test_impossible_options(options: dict[str, object]) -> None:
    """Samples, seeds and horizons out of range."""
    wrong(GROWING, **options)
