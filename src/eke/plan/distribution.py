"""How long prompts and answers are: a distribution told by a few quantiles, kept as equally likely values.

Between two stated quantiles ln(length) is straight in the normal quantile z, so that two quantiles are a lognormal and
more bend it. It knows nothing of requests, rates or chips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import fsum
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from eke.errors import InputError

POINTS = 64
"""Equally likely lengths a distribution is reduced to; the mean of a lognormal with p99/p50 = 12 is then 3% off."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Equally likely lengths in tokens, ascending.

    Attributes:
        mean: expected length. squared: expected square of it.
    """

    values: tuple[float, ...]
    mean: float = field(init=False, repr=False, compare=False)
    squared: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", fsum(self.values) / len(self.values))
        object.__setattr__(self, "squared", fsum(v * v for v in self.values) / len(self.values))

    @property
    def variation(self) -> float:
        """Squared coefficient of variation: variance over mean squared."""
        return self.squared / self.mean**2 - 1.0

    def largest(self, n: float) -> float:
        """Expected length of the longest of `n` requests."""
        shares = (np.arange(len(self.values) + 1) / len(self.values)) ** max(n, 1.0)
        return float(np.diff(shares) @ np.array(self.values))

    def quantile(self, share: float) -> float:
        """Length that `share` (0 to 1) of all do not exceed."""
        middles = (np.arange(len(self.values)) + 0.5) / len(self.values)
        return float(np.interp(share, middles, self.values))


def constant(length: float) -> Distribution:
    """Every request is equally long."""
    return Distribution((length,))


def from_quantiles(quantiles: Mapping[float, float]) -> Distribution:
    """The distribution through `quantiles` (share → length).

    A single quantile says nothing of the spread: every request then has that length. Below the lowest and above the
    highest stated quantile the nearest piece goes on.

    Raises:
        InputError: shares outside (0, 1), lengths that are not positive or fall as shares rise.
    """
    shares, lengths = zip(*sorted(quantiles.items()), strict=True)
    if not all(0 < s < 1 for s in shares) or lengths[0] <= 0 or any(b < a for a, b in pairwise(lengths)):
        raise InputError(
            f"quantiles {dict(quantiles)!r} must be positive and rise", remedy="{p50: 1020, p90: 2735, p99: 4142}"
        )
    if len(lengths) == 1:
        return constant(lengths[0])
    z = np.array([NormalDist().inv_cdf(s) for s in shares])
    log = np.log(lengths)
    at = np.array([NormalDist().inv_cdf((i + 0.5) / POINTS) for i in range(POINTS)])
    piece = np.clip(np.searchsorted(z, at) - 1, 0, len(z) - 2)
    slope = np.diff(log) / np.diff(z)
    values = np.exp(log[piece] + slope[piece] * (at - z[piece]))
    return Distribution(tuple(np.maximum(values, 1.0).tolist()))


def from_samples(lengths: npt.NDArray[np.float64]) -> Distribution:
    """The distribution of observed lengths."""
    if len(lengths) <= POINTS:
        return Distribution(tuple(sorted(max(1.0, float(v)) for v in lengths)))
    parts = np.array_split(np.sort(lengths), POINTS)
    return Distribution(tuple(max(1.0, float(p.mean())) for p in parts))


def too_long(prompt: Distribution, output: Distribution, most: float) -> float:
    """Share of requests whose prompt and mean answer are more than `most` tokens."""
    return sum(p + output.mean > most for p in prompt.values) / len(prompt.values)
