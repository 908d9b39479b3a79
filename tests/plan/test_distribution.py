"""Lengths from quantiles."""

from __future__ import annotations

import numpy as np
import pytest

from eke.errors import InputError
from eke.plan.distribution import constant, from_quantiles, from_samples

# Quantiles and measured mean of real traces (Azure 2023, CC-BY-4.0; Mooncake, Apache-2.0).
TRACES = [
    ({0.5: 1020, 0.9: 2735, 0.99: 4142}, 1154.7),
    ({0.5: 129, 0.9: 424, 0.99: 601}, 211.1),
    ({0.5: 1469, 0.9: 5188, 0.99: 7436}, 2047.8),
    ({0.5: 6909, 0.9: 27367, 0.99: 85400}, 12035.1),
    ({0.5: 350, 0.9: 597, 0.99: 1118}, 342.6),
]


@pytest.mark.parametrize(("quantiles", "mean"), TRACES)
def test_mean_of_real_traces(quantiles: dict[float, float], mean: float) -> None:
    """Three quantiles of a real trace give its mean to within 20%."""
    assert from_quantiles(quantiles).mean == pytest.approx(mean, rel=0.20)


@pytest.mark.parametrize(("quantiles", "mean"), TRACES)
def test_quantiles_come_back(quantiles: dict[float, float], mean: float) -> None:
    """The distribution goes through the quantiles it was made from."""
    made = from_quantiles(quantiles)
    for share in (0.5, 0.9):
        assert made.quantile(share) == pytest.approx(quantiles[share], rel=0.02)


def test_two_quantiles_are_a_lognormal() -> None:
    """p50 and p99 alone make a lognormal: its mean is exp(sigma^2/2) times its median."""
    made = from_quantiles({0.5: 300, 0.99: 1500})
    sigma = np.log(5) / 2.3263
    assert made.mean == pytest.approx(300 * np.exp(sigma**2 / 2), rel=0.02)


def test_one_quantile_is_one_length() -> None:
    """A lone quantile says nothing of the spread."""
    assert from_quantiles({0.5: 2000}) == constant(2000)
    assert constant(2000).variation == 0


@pytest.mark.parametrize("wrong", [{0.5: 100, 0.9: 50}, {0.5: 0}, {1.0: 5}, {0.0: 5}])
def test_refuses_what_cannot_be(wrong: dict[float, float]) -> None:
    """Lengths that fall, are not positive, or stand at impossible shares are refused."""
    with pytest.raises(InputError):
        from_quantiles(wrong)


def test_samples_keep_their_mean() -> None:
    """A trace's lengths are reduced to a few values of the same mean."""
    lengths = np.random.default_rng(1).lognormal(6, 1, 64 * 100)
    assert from_samples(lengths).mean == pytest.approx(float(lengths.mean()), rel=1e-6)
