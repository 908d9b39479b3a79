"""AdamW and its rate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from eke.training import optimizer
from eke.training.job import Job
from eke.training.model import GPT


def test_the_rate_rises_then_falls(small_job: Callable[..., Job]) -> None:
    """A straight line up, a cosine down, ending at the final share of the highest."""
    job = small_job(tokens=128 * 100, warmup=0.1, final_rate=0.2, learning_rate=1.0)
    rates = [optimizer.learning_rate(job, step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert all(a > b for a, b in pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(0.2)


def test_one_step_jobs_have_a_rate(small_job: Callable[..., Job]) -> None:
    """The shortest job is all warm-up."""
    assert optimizer.learning_rate(small_job(tokens=1), 1) == 1e-2


def test_an_update_clips_and_clears(small_job: Callable[..., Job]) -> None:
    """A huge gradient is reported as it was, moves weights by about the rate, and is gone afterwards."""
    job = small_job(weight_decay=0.0)
    net = GPT(job.model)
    adam = optimizer.make(net, job)
    before = net.norm.weight.detach().clone()
    for weight in net.parameters():
        weight.grad = torch.full_like(weight, 1e6)
    assert optimizer.update(net, adam, 1e-3) > 1e6
    assert net.norm.weight.grad is None
    torch.testing.assert_close(before - net.norm.weight, torch.full_like(before, 1e-3), rtol=1e-2, atol=0)


def test_norms_do_not_decay(small_job: Callable[..., Job]) -> None:
    """Only matrices shrink towards zero."""
    net = GPT(small_job().model)
    decays = {id(w): g["weight_decay"] for g in optimizer.make(net, small_job()).param_groups for w in g["params"]}
    assert {name for name, w in net.named_parameters() if decays[id(w)] == 0} == {
        name for name, _ in net.named_parameters() if "norm" in name
    }
