"""One model over unlike nodes: which layers stand where, and how far that is from the best possible.

Like a bucket brigade with strong and weak hands: the strong carry over a longer stretch, the weak stand two and two.
A stage is a run of layers held by one or several members side by side; a member is a group of chips that holds layers
together (tensor parallel). For a model that no single pool holds, or to make one service of many small leftovers.

    t_n(k)   what one member of kind n passes when it holds k of the L layers; N_n members
    F        what the pipeline passes: the least over its stages of the sum over their members

Bound. At F a member passes no more than F, so it does at most k min(t_n(k), F) layers of work; all layers of all that
passes is F L. Hence F L <= sum_n N_n max_k k min(t_n(k), F): no placement at all, not even with stages that overlap,
passes the largest F that keeps this (`bound`). Links are not in the bound; a slow one only makes plans worse.

It knows members and layers; `members` asks the cost model what a fleet's chips pass. No latency is promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np

from eke.cost import FloatArray
from eke.errors import InputError
from eke.fleet.pool import Fleet
from eke.models.architecture import Architecture
from eke.models.variant import Variant
from eke.plan import capacity, layouts, solve
from eke.plan.distribution import Distribution
from eke.plan.part import Part
from eke.plan.recipes import sites

ABREAST = 8
"""Most members of one stage."""
HALVINGS = 12
"""Rates tried between what is known to work and what is known not to: the rest is 1/4096 of the bound."""
ROUNDING = 1e-9
SECONDS = 0.2
"""CPU seconds for one rate."""
ACTIVATION_BYTES = 2.0
"""Of one value that goes from stage to stage."""


@dataclass(frozen=True, slots=True)
class Members:
    """Like members of a pipeline.

    Attributes:
        passes: what one passes (tokens/s, requests/s: any rate) when it holds 1, 2, … layers; as many as fit.
    """

    name: str
    count: int
    passes: tuple[float, ...]

    def rate(self, layers: int) -> float:
        """What one passes with that many layers; 0 where they do not fit."""
        return self.passes[layers - 1] if layers <= len(self.passes) else 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers `first` to `first + layers - 1`, held by each of `members`: how many of which kind."""

    first: int
    layers: int
    members: Mapping[str, int]
    rate: float


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in order; `rate` is passed, and nothing passes more than `bound`."""

    stages: tuple[Stage, ...]
    rate: float
    bound: float

    @property
    def gap(self) -> float:
        """Share of the plan that the bound is above it."""
        return self.bound / self.rate - 1.0


def bound(kinds: Sequence[Members], layers: int) -> float:
    """What no placement passes."""
    held = [(m.count * np.arange(1, len(m.passes) + 1), np.array(m.passes)) for m in kinds if m.passes]
    low, high = 0.0, max((float(t.max()) for _, t in held), default=0.0) * sum(m.count for m in kinds)
    while high - low > ROUNDING * high:
        rate = (low + high) / 2
        work = sum(float((k * np.minimum(t, rate)).max()) for k, t in held)
        low, high = (rate, high) if work >= rate * layers * (1 - ROUNDING) else (low, rate)
    return high * (1 + ROUNDING)


def place(kinds: Sequence[Members], layers: int) -> Pipeline:
    """A pipeline of all layers over the members, as fast as can be found.

    For a rate it asks whether enough stages, each of a set of members that reaches the rate together, can be made of
    the members there are: an integer program of one row a kind. The rate is found by halving; at the bound itself
    first, for then nothing is left to find.

    Raises:
        InputError: the members together do not hold the layers.
    """
    holds = sum(m.count * len(m.passes) for m in kinds)
    if holds < layers:
        raise InputError(
            f"the members hold {holds} of {layers} layers", remedy="more members, more chips in each, or fewer bits"
        )
    most = bound(kinds, layers)
    slowest = min(m.passes[-1] for m in kinds if m.count and m.passes)
    found = _stages(kinds, layers, most * (1 - 3 * ROUNDING)) or []
    low, high = (most, most) if found else (0.0, most)
    for _ in range(HALVINGS if low < high else 0):
        rate = (low + high) / 2
        better = _stages(kinds, layers, rate)
        low, high, found = (rate, high, better) if better else (low, rate, found)
    found = found or _stages(kinds, layers, slowest) or []
    assert found, "every layer has a member at the slowest rate"
    return _finished(kinds, layers, found, most)


def members(
    fleet: Fleet, architecture: Architecture, variant: Variant, prompt: Distribution, output: Distribution
) -> tuple[Members, ...]:
    """What the pools of a fleet pass of a model, in requests/s: a member is the widest tensor-parallel group of a node.

    With k layers it passes what a pipeline of its own kind with L/k stages would, read and written, on the slow side of
    the cost model's interval; and no more than its network takes from stage to stage.
    """
    found = []
    load = capacity.load(prompt, output, 0.0, None)
    tokens = prompt.mean + output.mean
    for site, (name,) in ((s, names) for pool in fleet.pools for s, names in sites([pool])):
        tp = layouts.tensor_degrees(architecture, site)[-1]
        depth = sorted({ceil(architecture.layers / k) for k in range(1, architecture.layers + 1)})
        table = layouts.table([(tp, pp, 1, 1) for pp in depth])
        got = capacity.capacity(site.cost(architecture, variant, training=False), table, load)
        link = tp * (site.scale_out or inf) / (ACTIVATION_BYTES * architecture.hidden * tokens)
        rate = {pp: min(float(r), link) for pp, r in zip(depth, got.rate, strict=True)}
        passes = [rate[ceil(architecture.layers / k)] for k in range(1, architecture.layers + 1)]
        fit = next((i for i, r in enumerate(passes) if r <= 0), len(passes))
        found.append(Members(name, site.units // tp, tuple(passes[:fit])))
    return tuple(found)


_Pattern = tuple[int, tuple[int, ...]]
"""Layers of a stage, and how many members of each kind hold them."""


def _stages(kinds: Sequence[Members], layers: int, rate: float) -> list[_Pattern] | None:
    """Stages that all reach `rate` and hold all layers together, of the members there are; None where none are found.

    maximise sum k z  subject to  sum (members of kind n) z <= N_n,  z whole.
    """
    longest = max(len(m.passes) for m in kinds)
    patterns = [(k, p) for k in range(1, longest + 1) for p in _covers(kinds, k, rate)]
    if not patterns:
        return None
    uses = np.array([p for _, p in patterns], dtype=float).T  # [kinds, patterns]
    gains: FloatArray = np.array([k for k, _ in patterns], dtype=float)
    rows, columns = np.nonzero(uses)
    n, m = len(patterns), len(kinds)
    posed = Part(
        np.arange(n), np.arange(m), np.zeros(n), np.full(n, float(layers)), np.full(m, -np.inf),
        np.array([float(k.count) for k in kinds]), rows, columns, uses[rows, columns],
    )  # fmt: skip
    bounds = (posed.lower, posed.upper)
    relaxed = solve.relax(posed, gains, bounds).value
    if relaxed is None or relaxed < layers - 1e-6:
        return None
    got = solve.search(posed, gains, bounds, np.ones(n, dtype=bool), seconds=SECONDS, gap=0.0)
    if got.x is None or got.value < layers - 0.5:
        return None
    return [patterns[i] for i in np.flatnonzero(got.x > 0.5) for _ in range(round(got.x[i]))]


def _covers(kinds: Sequence[Members], layers: int, rate: float) -> Iterator[tuple[int, ...]]:
    """Sets of members that reach `rate` with that many layers, none of whom could be spared."""
    each = [m.rate(layers) for m in kinds]
    order = sorted((i for i, t in enumerate(each) if t > 0), key=lambda i: -each[i])
    taken = [0] * len(kinds)

    def further(at: int, left: float) -> Iterator[tuple[int, ...]]:
        if left <= 0:
            yield tuple(taken)
        elif at < len(order):
            i = order[at]
            most = min(ceil(left / each[i] - 1e-9), kinds[i].count, ABREAST - sum(taken))
            for count in range(most + 1):
                taken[i] = count
                yield from further(at + 1, left - count * each[i])
            taken[i] = 0

    for found in further(0, rate):
        weakest = min(each[i] for i, count in enumerate(found) if count)
        if sum(c * t for c, t in zip(found, each, strict=True)) - weakest < rate:
            yield found


def _finished(kinds: Sequence[Members], layers: int, found: list[_Pattern], most: float) -> Pipeline:
    """Stages in order: layers too many taken from the slowest, members left over given to the slowest."""
    stages = [Stage(0, k, {m.name: c for m, c in zip(kinds, p, strict=True) if c}, 0.0) for k, p in found]
    while (spare := sum(s.layers for s in stages) - layers) > 0:
        slow = min(stages, key=lambda s: _rate(kinds, s) if s.layers > 1 or len(stages) > 1 else inf)
        stages.remove(slow)
        if slow.layers > 1 or spare < 1:
            stages.append(replace(slow, layers=slow.layers - 1))
    left = {m.name: m.count - sum(s.members.get(m.name, 0) for s in stages) for m in kinds}
    while True:
        slow = min(stages, key=lambda s: _rate(kinds, s))
        helper = max((m for m in kinds if left[m.name]), key=lambda m: m.rate(slow.layers), default=None)
        if helper is None or not helper.rate(slow.layers):
            break
        left[helper.name] -= 1
        stages[stages.index(slow)] = replace(
            slow, members={**slow.members, helper.name: slow.members.get(helper.name, 0) + 1}
        )
    stages.sort(key=lambda s: -s.layers)
    starts = np.cumsum([0, *(s.layers for s in stages)])
    placed = tuple(replace(s, first=int(at), rate=_rate(kinds, s)) for s, at in zip(stages, starts[:-1], strict=True))
    return Pipeline(placed, min(s.rate for s in placed), most)


def _rate(kinds: Sequence[Members], stage: Stage) -> float:
    return sum(m.rate(stage.layers) * stage.members.get(m.name, 0) for m in kinds)
