"""What a replica takes: batch dynamics and queueing."""

from __future__ import annotations

import numpy as np
import pytest

from eke.fleet import catalogue as chips
from eke.fleet.pool import Pool
from eke.models import catalogue as models
from eke.models.variant import variants
from eke.plan import capacity, layouts
from eke.plan.distribution import from_quantiles
from eke.plan.recipes import sites
from eke.plan.scenario import Slo

PROMPT, OUTPUT = from_quantiles({0.5: 1020, 0.9: 2735, 0.99: 4142}), from_quantiles({0.5: 129, 0.9: 424, 0.99: 601})
MODEL = models.architecture("Qwen3-8B")


def best(slo: Slo | None, chip: str = "H800-SXM", hit: float = 0.0) -> capacity.Capacity:
    """Capacity of all layouts of an 8B model on one kind of chip."""
    ((site, _),) = sites([Pool("p", chips.chip(chip), 4, scale_out=50e9)])
    cost = site.cost(MODEL, variants(MODEL)["bf16"], training=False)
    return capacity.capacity(cost, layouts.serving(MODEL, site), capacity.load(PROMPT, OUTPUT, hit, slo))


def test_promises_are_kept_at_the_stated_rate() -> None:
    """Where a layout holds, its TTFT and TPOT at the percentile are within the promise."""
    slo = Slo(1.0, 0.05, 95)
    got = best(slo)
    assert got.holds.any()
    assert (got.tpot_s[got.holds] <= slo.tpot_s).all()
    assert (got.ttft_s[got.holds] <= slo.ttft_s * 1.02).all()


@pytest.mark.parametrize(
    ("looser", "tighter"),
    [
        (Slo(4.0, 0.05), Slo(0.5, 0.05)),
        (Slo(1.0, 0.1), Slo(1.0, 0.03)),
        (Slo(1.0, 0.05, 90), Slo(1.0, 0.05, 99)),
    ],
)
def test_a_tighter_promise_never_gives_more(looser: Slo, tighter: Slo) -> None:
    """Less time, or more of the requests in time, never raises the rate (beyond search steps of 6%)."""
    a, b = best(looser), best(tighter)
    assert (b.rate * b.holds <= a.rate * a.holds * 1.06).all()
    assert (b.rate * b.holds).sum() < (a.rate * a.holds).sum()


@pytest.mark.parametrize("slo", [Slo(1.0, 0.05), Slo(0.3, 0.03, 95), Slo(10.0, 0.5), None])
@pytest.mark.parametrize(("chip", "model"), [("H20-96", "Qwen3-8B"), ("H800-SXM", "Hunyuan-A13B-Instruct")])
def test_halving_finds_what_trying_all_finds(chip: str, model: str, slo: Slo | None) -> None:
    """The working points that hold are those found where every number in flight is tried, to the last digit."""
    architecture = models.architecture(model)
    ((site, _),) = sites([Pool("p", chips.chip(chip), 4, scale_out=50e9)])
    cost = site.cost(architecture, variants(architecture)["bf16"], training=False)
    table, of = layouts.serving(architecture, site), capacity.load(PROMPT, OUTPUT, 0.0, slo)
    halved, tried = (
        capacity.capacities([capacity.Asked(cost, table, [of])], late=late)[0][0] for late in (False, True)
    )
    assert halved.holds.any()
    assert (halved.holds == tried.holds).all()
    for column in capacity.Capacity.__slots__:
        assert (getattr(halved, column)[tried.holds] == getattr(tried, column)[tried.holds]).all()


def test_cached_prefixes_raise_the_rate() -> None:
    """Prompt tokens found in a cache are not read again."""
    assert best(Slo(1.0, 0.05), hit=0.5).rate.max() > 1.1 * best(Slo(1.0, 0.05)).rate.max()


def test_an_h800_serves_an_8b_model_at_a_believable_rate() -> None:
    """Within a factor of two of a measured neighbour: 18 requests/s of 342 in, 281 out (vLLM, 9B model, one H100)."""
    ((site, _),) = sites([Pool("p", chips.chip("H800-SXM"), 4, scale_out=50e9)])
    cost = site.cost(MODEL, variants(MODEL)["bf16"], training=False)
    load = capacity.load(from_quantiles({0.5: 342}), from_quantiles({0.5: 281}), 0.0, None)
    one = layouts.table([(1, 1, 1, 1)])
    assert 9 < float(capacity.capacity(cost, one, load).rate[0]) < 36


def test_what_does_not_fit_has_no_rate() -> None:
    """A 32B model in 16 bits has no capacity on one 48 GB chip."""
    model = models.architecture("Qwen3-32B")
    ((site, _),) = sites([Pool("p", chips.chip("L20"), 4)])
    cost = site.cost(model, variants(model)["bf16"], training=False)
    got = capacity.capacity(cost, layouts.table([(1, 1, 1, 1), (8, 1, 1, 1)]), capacity.load(PROMPT, OUTPUT, 0.0, None))
    assert got.rate[0] == 0
    assert got.rate[1] > 0


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.85])
def test_late_share_agrees_with_a_simulated_queue(busy: float) -> None:
    """The M/G/1 tail agrees with 200,000 simulated prompts to within 0.04 of all requests, at any deadline."""
    load = capacity.load(PROMPT, OUTPUT, 0.0, Slo(1.0, 0.05))
    tau, t = 1e-4, 0.01
    rate = busy / (load.read.mean * tau)
    random = np.random.default_rng(7)
    service = tau * random.choice(np.array(load.read.values), 200_000)
    gaps = random.exponential(1 / rate, 200_000)
    # Lindley: wait' = max(0, wait + service - gap), by running minima of the random walk.
    walk = np.concatenate([[0.0], np.cumsum(service[:-1] - gaps[1:])])
    wait = walk - np.minimum.accumulate(walk)
    known = [np.array([v]) for v in (load.read.mean, load.read.squared, load.samples, rate, tau, t)]
    for deadline in (0.2, 0.5, 1.0, 2.0):
        said = float(capacity.late_share(*known, np.array([deadline]))[0])
        seen = float(np.mean(wait + service + t > deadline))
        assert said == pytest.approx(seen, abs=0.04)


@pytest.mark.parametrize(("none", "extra", "gap"), [(10e-3, 40e-3, 0.1), (20e-3, 20e-3, 0.1), (9e-3, 180e-3, 1.0)])
def test_late_answers_agree_with_simulated_iterations(none: float, extra: float, gap: float) -> None:
    """Prompts that one iteration reads come at random: answers begun when one was read take too long as often as
    said, to within 0.05 of all.
    """
    random, ends, began = np.random.default_rng(7), [0.0], []
    came, waiting = np.cumsum(random.exponential(gap, 20_000)), 0
    while waiting < len(came):
        reads = came[waiting] <= ends[-1]
        ends.append(ends[-1] + none + extra * reads)
        if reads:
            waiting += 1
            began.append(len(ends) - 1)
    end, first = np.array(ends), np.array(began)[:-1]
    t = none + extra
    share = t / gap
    one = np.ones(1)
    pace = capacity._Pace(none * one, 0 * one, share * one, extra / t * one, t / (2 * (1 - share)) * one, 0 * one)
    answers = np.array([6, 11, 18, 30, 47, 80, 140, 260])
    start = first[first + answers[-1] < len(end)]
    took = np.concatenate([(end[start + m] - end[start]) / m for m in answers])
    for tpot in np.quantile(took, (0.8, 0.9, 0.95, 0.99)):
        said = float(capacity.late_answers(pace, answers[None, :].astype(float), tpot * one)[0])
        assert said == pytest.approx(float(np.mean(took > tpot)), abs=0.05)


def test_answers_that_end_at_once_are_late_or_not() -> None:
    """Over next to no time, where what reading adds goes on for ages: a share, which falls as more time is allowed."""
    n = 40
    at, one = np.geomspace(1e-13, 1e-1, n), np.ones(n)
    pace = capacity._Pace(0.01 * one, 0 * one, 0.5 * one, 0.5 * one, 1e6 * one, 0 * one)
    late = capacity.late_answers(pace, np.ones((n, 1)), at)
    assert np.all((late >= 0) & (late <= 1))
    assert np.all(np.diff(late) <= 1e-9)


def test_experts_are_cut_over_few_data_ranks() -> None:
    """Two or four data ranks may each hold a slice of every expert; eight would hold slivers."""
    ((site, _),) = sites([Pool("p", chips.chip("H100-SXM"), 2, scale_out=50e9)])
    table = layouts.serving(models.architecture("Qwen3-30B-A3B"), site)
    rows = set(zip(table.tp.tolist(), table.dp.tolist(), table.ep.tolist(), strict=True))
    assert {(1, 2, 1), (1, 4, 1), (2, 2, 1), (1, 8, 8)} <= rows
    assert not any(ep == 1 and dp > 1 and tp * dp > 4 for tp, dp, ep in rows)


def test_seconds_are_those_of_all_operators() -> None:
    """The sum alone is what the operators add up to."""
    ((site, _),) = sites([Pool("p", chips.chip("H800-SXM"), 4, scale_out=50e9)])
    model = models.architecture("Qwen3-30B-A3B")
    cost = site.cost(model, variants(model)["fp8"], training=False)
    table = layouts.serving(model, site)
    for asked in ((512.0, 32.0, 2000.0), (0.0, 8.0, 100.0), (4096.0, 0.0, 8192.0)):
        assert cost.seconds(table, *asked) == pytest.approx(cost.mixed(table, *asked).seconds, rel=1e-12)
