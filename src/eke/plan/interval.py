"""How sure a number is that the relaxation gives: how it moves with each speed, and the 80% interval that follows.

A plan stands on the slow end of every speed's 80% interval. The derivative of what it reaches by the logarithm of a
speed comes from the relaxation's own prices (`stock.Open`), so it costs nothing to know; to first order

    v → v + Σ_k g_k ln f_k,      ln f_k normal with mean z σ_k and deviation σ_k,  z = Φ⁻¹(0.9), beside the slow end

with one factor f for each kind of chip and of work (training, serving), independent of each other, as in the runway.
Where a number was asked for in the middle of all speeds too (prices, which jump), its slope is taken there instead.
What shrinks does so by a factor, so that chips halve when speeds double. An interval holds 80% of that, and the number
itself, which stands on the slow side. It knows no program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp, hypot, log
from statistics import NormalDist
from typing import Any

from eke.cost import Basis
from eke.fleet.pool import Pool
from eke.plan.known import known
from eke.plan.scenario import Scenario

Z80 = NormalDist().inv_cdf(0.9)
"""An 80% interval reaches this many standard deviations to each side."""
Speed = tuple[str, bool]
"""Of the chips of a pool, and whether they train."""
Span = tuple[float, float]
NOTHING = 1e-6
"""A number that is only a solver's rounding."""
NEXT_TO = 1e-3
"""An end of an interval that is this share of the other is told as 0."""
SLIGHT = 1e-6
"""A share that rests on nothing but rounding."""
_ORDER: tuple[Basis, ...] = ("guessed", "modelled", "measured")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number.

    Attributes:
        slope: its derivative by the logarithm of each speed; in the middle of them, where that is known.
        basis: how well the least known speed it rests on is known; None: it rests on none.
        middle: what it is with every speed in the middle of its interval; None: not asked.
    """

    value: float
    slope: Mapping[Speed, float] = field(default_factory=dict)
    basis: Basis | None = None
    middle: float | None = None

    @property
    def at(self) -> float:
        """What it is where its slope is taken."""
        return self.value if self.middle is None else self.middle

    def __add__(self, other: Estimate) -> Estimate:
        """Both together."""
        slope = {k: self.slope.get(k, 0.0) + other.slope.get(k, 0.0) for k in {**self.slope, **other.slope}}
        middle = None if self.middle is other.middle is None else self.at + other.at
        return Estimate(self.value + other.value, slope, weakest(self.basis, other.basis), middle)

    def __mul__(self, times: float) -> Estimate:
        """So many times it."""
        middle = None if self.middle is None else self.middle * times
        return Estimate(self.value * times, {k: g * times for k, g in self.slope.items()}, self.basis, middle)

    def __sub__(self, other: Estimate) -> Estimate:
        """What lies between."""
        return self + other * -1.0

    def __truediv__(self, other: Estimate) -> Estimate:
        """How many of the other it is."""
        part = (self + other * (-self.at / other.at)) * (1 / other.at)
        middle = None if part.middle is None else self.at / other.at
        return Estimate(self.value / other.value, part.slope, part.basis, middle)


@dataclass(frozen=True, slots=True)
class Sure:
    """How sure a row of numbers is.

    Attributes:
        basis: of the least known speed they rest on. rests_on: share of what speeds move in them, by basis.
        interval: of each number, by its name, 80% by the cost model.
    """

    basis: Basis | None
    rests_on: Mapping[str, float]
    interval: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Speeds:
    """How far speeds may lie from what is planned.

    Attributes:
        chips: of each pool, by name. deviations: of the logarithm, by chip and whether it trains.
        bases: how well each is known.
    """

    chips: Mapping[str, str]
    deviations: Mapping[tuple[str, bool], float]
    bases: Mapping[tuple[str, bool], Basis] = field(default_factory=dict)

    @classmethod
    def of(cls, scenario: Scenario) -> Speeds:
        """Of all pools of a scenario."""
        found = known(scenario).values()
        return cls(
            {k.pool: k.chip for k in found},
            {(k.chip, k.training): log(k.interval[1] / k.interval[0]) / (2 * Z80) for k in found},
            {(k.chip, k.training): k.basis for k in found},
        )

    def beside(self, scenario: Scenario, pool: Pool) -> Speeds:
        """With those of a further pool."""
        more = Speeds.of(replace(scenario, fleet=replace(scenario.fleet, pools=(pool,))))
        return Speeds(
            {**self.chips, **more.chips}, {**self.deviations, **more.deviations}, {**self.bases, **more.bases}
        )

    def sure(self, numbers: Mapping[str, Estimate | None]) -> Sure:
        """How sure a row of numbers is; None: one that there is not."""
        there = {name: e for name, e in numbers.items() if e is not None}
        basis = weakest(*(e.basis for e in there.values()))
        return Sure(basis, self.rests_on(*there.values()), {name: self.interval(e) for name, e in there.items()})

    def rests_on(self, *of: Estimate) -> dict[str, float]:
        """Share of what speeds move in these numbers together, by how well the speeds are known; empty: none does."""
        moves: dict[str, float] = dict.fromkeys(_ORDER, 0.0)
        for e in of:
            for chip, slope in self._by_chip(e).items():
                moves[self.bases[chip]] += abs(slope)
        total = sum(moves.values())
        return {basis: moved / total for basis, moved in moves.items() if moved > SLIGHT * total}

    def faster(self, speed: Speed) -> float:
        """The fast end of a speed's 80% interval beside the slow end."""
        return self.middle(speed) ** 2

    def middle(self, speed: Speed) -> float:
        """The middle of a speed's interval beside the slow end."""
        return exp(Z80 * self.deviations[self.chips[speed[0]], speed[1]])

    def _by_chip(self, of: Estimate) -> dict[tuple[str, bool], float]:
        slopes: dict[tuple[str, bool], float] = {}
        for (pool, trains), slope in of.slope.items():
            chip = self.chips[pool], trains
            slopes[chip] = slopes.get(chip, 0.0) + slope
        return slopes

    def interval(self, of: Estimate) -> Span:
        """Where a number lies in 80% of cases, itself included."""
        parts = [g * self.deviations[k] for k, g in self._by_chip(of).items()]
        middle, wide = Z80 * sum(parts) if of.middle is None else 0.0, Z80 * hypot(*parts)
        ends = (of.value, _moved(of.at, middle - wide), _moved(of.at, middle + wide))
        return min(ends), max(ends)


def weakest(*found: Basis | None) -> Basis | None:
    """The least certain of several bases."""
    return min((b for b in found if b is not None), key=_ORDER.index, default=None)


def based(basis: str | None, rests_on: Mapping[str, float]) -> str:
    """What numbers rest on, as people read it: `modelled`, `95% modelled, 5% guessed`, `modelled, <1% guessed`."""
    if basis is None:
        return ""
    known = [b for b in reversed(_ORDER) if b == basis or rests_on.get(b, 0.0) >= 0.005]
    if len(known) == 1:
        return known[0]
    told = [b for b in known if rests_on.get(b, 0.0) >= 0.005]
    said = [f"{rests_on[b]:.0%} {b}" if len(told) > 1 else b for b in told]
    return ", ".join([*said, *(f"<1% {b}" for b in known if b not in told)])


SIGNS = {"measured": "=", "modelled": "~", "guessed": "?"}
"""One letter for each basis, where there is no room for the word."""
_BASIS = re.compile(r"(?:(\S+%) )?(measured|modelled|guessed)")
LEGEND = "Basis in a letter: = measured, ~ modelled, ? guessed."


def initials(based: str) -> str:
    """What numbers rest on, in letters: `95% modelled, 5% guessed` as `~95% ?5%`."""
    return _BASIS.sub(lambda found: SIGNS[found[2]] + (found[1] or ""), based).replace(",", "")


def _moved(value: float, by: float) -> float:
    """`value` and `by` beyond it: towards nothing by a factor; away from it as e^x does to second order."""
    if value < 0:
        return -_moved(-value, -by)
    if by < 0:
        return value * exp(by / value) if value > 0 else 0.0
    return value + by + min(by * by / (2 * value), value / 2) if value > 0 else by


def told(value: float, span: Span | None, digits: int = 3) -> str:
    """A number with its interval, as people read it: `47 (21–65)`; alone where the interval says no more."""
    said, between = brief(value, digits), "" if span is None else across(span, digits)
    return said if between in ("", said) else f"{said} ({between})"


def across(span: Span, digits: int = 3) -> str:
    """From where to where: `21–65`, `-4 to 2`; one number where both are the same."""
    least = NEXT_TO * max(map(abs, span))
    low, high = (brief(end if abs(end) > least else 0.0, digits) for end in span)
    return low if low == high else f"{low} to {high}" if low.startswith("-") else f"{low}–{high}"


def percent(value: float, span: Span | None) -> str:
    """A share with its interval: `2.2% (1.8% to 2.9%)`."""
    ends = [] if span is None else list(dict.fromkeys(f"{end:.1%}" for end in span))
    return f"{value:.1%}" if len(ends) < 2 else f"{value:.1%} ({' to '.join(ends)})"


def brief(value: float, digits: int = 3) -> str:
    """So many digits, or all before the point: `0.0123`, `1,234`; what is next to nothing is 0."""
    if abs(value) < NOTHING:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
