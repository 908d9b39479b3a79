"""Effective training time: the closed form against simulated failures, and against what was published."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.cost.goodput import PUBLISHED_H, STALL_S, Restarts, best_interval, effective_share


def simulated(job_s: float, recovery_s: float, stall_s: float, interval_s: float, segments: int = 20_000) -> float:
    """Share of useful time of a job that fails at random, segment by segment."""
    rng, spent = np.random.default_rng(7), 0.0
    for _ in range(segments):
        need = interval_s + stall_s
        while (fails := rng.exponential(job_s)) < need:
            spent += fails
            while (again := rng.exponential(job_s)) < recovery_s:  # it may fail while it comes back
                spent += again
            spent += recovery_s
        spent += need
    return segments * interval_s / spent


@pytest.mark.parametrize(("job_s", "recovery_s"), [(10_000.0, 720.0), (3_000.0, 600.0), (100_000.0, 60.0)])
def test_closed_form_is_what_a_failing_job_reaches(job_s: float, recovery_s: float) -> None:
    """Daly's closed form is the mean of simulated failures, to 1%."""
    share = float(effective_share(1 / job_s, Restarts(0.0, recovery_s, 20.0, 900.0)))
    assert share == pytest.approx(simulated(job_s, recovery_s, 20.0, 900.0), rel=0.01)


@given(job_s=st.floats(600.0, 1e7), stall_s=st.floats(0.1, 60.0))
def test_no_other_interval_is_better(job_s: float, stall_s: float) -> None:
    """The interval taken loses no more than others do, to what its series leaves."""
    tau = float(best_interval(job_s, stall_s))
    best = float(effective_share(1 / job_s, Restarts(0.0, 300.0, stall_s)))
    for other in (0.5 * tau, 0.8 * tau, 1.25 * tau, 2 * tau):
        assert float(effective_share(1 / job_s, Restarts(0.0, 300.0, stall_s, other))) <= best * (1 + 1e-3)


def test_young_is_the_first_order() -> None:
    """With rare failures the best interval is √(2 δ M)."""
    assert float(best_interval(1e7, 5.0)) == pytest.approx((2 * 5.0 * 1e7) ** 0.5, rel=2e-3)


def test_failures_of_jobs_as_published() -> None:
    """Hours between failures of large jobs, from those of a chip: Meta's RSC projections and FT-HSDP's measurement."""
    assert PUBLISHED_H["Meta RSC-1"] / 16_384 == pytest.approx(1.8, rel=0.01)
    assert PUBLISHED_H["Meta RSC-1"] / 131_072 == pytest.approx(0.23, rel=0.03)
    assert PUBLISHED_H["FT-HSDP at Meta"] / 32_768 == pytest.approx(2.6, rel=0.03)


def test_llama_3_reaches_over_90_per_cent() -> None:
    """466 interruptions in 54 days on 16,384 chips leave more than 90% effective time, as the report says."""
    per_s = 466 / (54 * 86400)
    share = float(effective_share(per_s, Restarts()))
    assert 0.90 < share < 0.95
    assert float(effective_share(per_s, Restarts(recovery_s=68 * 60.0))) < 0.75  # by hand, as Unicron's users did


def test_byterobust_lies_between_warm_and_usual_restarts() -> None:
    """97% on 9,600 chips lies between the usual recovery and one in a minute, at Llama 3's failure rate."""
    per_s = 9_600 / (PUBLISHED_H["Llama 3 405B"] * 3600)
    usual, warm = (float(effective_share(per_s, Restarts(recovery_s=r))) for r in (720.0, 60.0))
    assert usual < 0.97 < warm


@given(chips=st.integers(1, 100_000), more=st.integers(0, 100_000), recovery=st.floats(1.0, 5000.0))
def test_larger_jobs_keep_less_of_their_time(chips: int, more: int, recovery: float) -> None:
    """More chips, a smaller share; never outside 0 to 1."""
    r = Restarts(recovery_s=recovery, stall_s=STALL_S)
    one, two = (float(effective_share(n / r.chip_s, r)) for n in (chips, chips + more))
    assert 0.0 <= two <= one <= 1.0
