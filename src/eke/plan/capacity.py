"""How many requests a second one replica takes so that its latency promise holds: batch dynamics and queueing.

Symbols, as in docs/design/plan.md:

    P, O     prompt tokens to read and tokens to write of a request; h prompt tokens already cached
    b        requests in flight, mean; λ requests/s; t(b, c) seconds of an iteration that decodes b and reads c prompt
    tokens C        prompt tokens an iteration reads at most (chunked prefill); q the share of requests promised; z =
    Φ⁻¹(q)

Each iteration gives every request in flight one token. While one is written, b others come, so an iteration meets
b / E[O] prompts and c = b E[P] / E[O] of their tokens. A prompt is read by one of k = dp pp lanes (a data rank's
pipeline turn), each 1/k of the replica, and all wait for the slowest.

Rate. Iterations are of two kinds, and t is no straight line between them. A prompt takes n = max(1, k E[P]/C + 1/2)
iterations of its lane; φ = max(1 - exp(-n b / (k E[O])), c/C) of a lane's iterations read, c/φ tokens each;
f = 1 - (1 - φ)^k of the replica's. Mean iteration  t̄ = t(b, 0) + f Δ,  Δ = t(b, c/φ) - t(b, 0);  by Little's law
λ = b / (E[O] t̄).

TPOT. Two things vary between requests. The number in flight, of variance b / (1 - ε) with ε = d ln t(b, 0) /
d ln b (a fuller replica is slower and so fuller still); and the prompts met: b of them in the mean, fewer for short
answers (u = E[O] E[1/O] / b is what one of them weighs), and those that waited behind its own, L = λ/k W in the mean.
Promise: t̄ + u L f Δ + √(β² + γ²) ≤ TPOT with  β = (t(b + z√b, 0) - t(b, 0)) t̄ / (t(b, 0) √(1 - ε)),
γ = (z + (z² - 1) s / 6) s f Δ (Cornish-Fisher: few prompts are skewed), s² = (1 + cv²) (u + L (1 + L) u²); and never
more than t(b + z√b, 0) + t(b, C) - t(b, 0).

TTFT. Prompts queue for the reading part of a lane's iterations, one after the other, at τ = k t(b, C) / C seconds a
token: an M/G/1 queue with service S = τ P, ρ = λ/k E[S], mean wait W = λ/k E[S²] / (2 (1 - ρ)) (Pollaczek-Khinchine)
and the tail P(wait > x) = ρ exp(-ρ x / W). Promise: E over P of P(wait > TTFT - τ P - t̄) ≤ 1 - q.

What is promised is `CALM` of the highest rate so found.

Memory. `places` for requests of mean length fit, and one of the 99.9th percentile.

`benchmarks/capacity_check.py` holds this against a simulation.

It knows one replica; no pool, no demand. Loads are worked out together, one row for each pair of load and layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean

import numpy as np
from numpy.typing import NDArray

from eke.cost import CostModel, FloatArray, IntArray, Layouts
from eke.plan.distribution import Distribution
from eke.plan.layouts import take
from eke.plan.scenario import Slo

CHUNKS = (512.0, 1024.0, 2048.0, 4096.0, 8192.0)
SMALLER = 0.01
"""A chunk half as long is taken when it costs no more than this share of the rate: answers then come more evenly."""
IN_FLIGHT: FloatArray = np.geomspace(0.25, 1024.0, 7)
"""Mean requests in flight that are tried first; then, for each chunk length, the best times each of the first `FINER`
factors; then, for each layout, the best of all times each of the second."""
FINER = ((4.0 ** (np.arange(1, 6) / 6), True), (4.0 ** (np.arange(1, 5) / 30), False))
BUSY = 0.95
"""Most of its time a replica may spend reading prompts, promises aside."""
STABLE = 0.7
"""The same for a replica that cannot hold its promise at any rate: it still must not fall behind."""
TTFT_RANGE_S, TTFT_SAYS = (1e-3, 1e5), 0.01
"""Times to first token that are looked among, and the share they are said to."""
CALM = 0.88
"""Of the rate that would just do, what is promised: these formulas are that much too hopeful where queues and bursts
meet (`benchmarks/capacity_check.py`)."""
STEEPEST = 0.9
"""Most that ε is taken for: beyond it the number in flight is not near any mean."""
SPARE = (3.0, 3.0)
"""Places beyond the promised percentile, in √b and in requests: who waits for a place is late."""
SAMPLES = 16
"""Prompt lengths the tail of TTFT is averaged over."""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests as one replica sees them.

    Attributes:
        read: prompt tokens to read, cached ones excluded; its distribution.
        context: mean tokens of cache of a request in flight; longest: of the 99.9th percentile at its end.
        deep: mean length of the prompt a token to read lies in.
        slo: None for batch work.
    """

    read: Distribution
    output: Distribution
    context: float
    deep: float
    longest: float
    slo: Slo | None
    samples: FloatArray  # a few equally likely lengths to read, the tail of TTFT is averaged over them [SAMPLES]

    @property
    def z(self) -> float:
        """Standard normal quantile of the promised percentile."""
        return NormalDist().inv_cdf(self.slo.percentile / 100) if self.slo else 0.0


@lru_cache(1000)
def load(prompt: Distribution, output: Distribution, prefix_hit: float, slo: Slo | None) -> Load:
    """The load of a workload; a decoding request is met, in the mean, E[O²] / 2 E[O] tokens into its answer."""
    read = Distribution(tuple(max(1.0, v * (1 - prefix_hit)) for v in prompt.values))
    context = prompt.mean + output.squared / (2 * output.mean)
    at = (np.arange(SAMPLES) * len(read.values)) // SAMPLES
    values = np.array(read.values)
    samples = values[at] if len(values) % SAMPLES else values.reshape(SAMPLES, -1).mean(axis=1)
    return Load(
        read,
        output,
        context,
        prompt.squared / prompt.mean,
        prompt.quantile(0.999) + output.quantile(0.999),
        slo,
        samples,
    )


@dataclass(frozen=True, slots=True)
class Capacity:
    """The best working point of each layout; all [n]. `rate` is 0 where the model does not fit."""

    rate: FloatArray
    in_flight: FloatArray
    chunk: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    holds: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """Pairs of load and layout; all [n]. What nobody promised is endless, and late requests are allowed."""

    layouts: Layouts
    read: FloatArray  # E[P]
    squared: FloatArray  # E[P²]
    variation: FloatArray
    written: FloatArray  # E[O]
    brief: FloatArray  # E[O] E[1/O]
    context: FloatArray
    deep: FloatArray  # E[P²] / E[P] of whole prompts: the length of the prompt a token lies in
    z: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    late: FloatArray  # share of requests allowed to be late
    samples: FloatArray  # [n, SAMPLES]
    room: FloatArray  # requests memory holds

    def take(self, rows: IntArray) -> Rows:
        """Some of them, in that order."""
        return Rows(take(self.layouts, rows), *(getattr(self, f)[rows] for f in Rows.__slots__[1:]))

    @property
    def lanes(self) -> FloatArray:
        """Parts of a replica that read prompts by themselves."""
        lanes: FloatArray = (self.layouts.dp * self.layouts.pp).astype(float)
        return lanes


@dataclass(frozen=True, slots=True)
class _Points:
    """Working points: rows with b and C, and what follows. All [m]."""

    row: IntArray
    b: FloatArray
    chunk: FloatArray
    rate: FloatArray
    tpot_s: FloatArray
    tau: FloatArray
    t: FloatArray
    busy: FloatArray  # ρ
    fits: NDArray[np.bool_]
    holds: NDArray[np.bool_]
    slow: FloatArray  # TPOT over the promised one, at least 1


def capacity(cost: CostModel, layouts: Layouts, of: Load, chunks: tuple[float, ...] = CHUNKS) -> Capacity:
    """The highest rate of each layout under the promise; where none holds, the rate it can bear, with `holds` False."""
    return capacities(cost, layouts, (of,), chunks, late=True)[0]


def capacities(
    cost: CostModel, layouts: Layouts, loads: Sequence[Load], chunks: tuple[float, ...] = CHUNKS, *, late: bool = False
) -> list[Capacity]:
    """The same for several loads at once; without `late` only working points that hold."""
    return _searched(cost, rows(cost, layouts, loads), len(loads), chunks, strict=not late)


def _searched(cost: CostModel, of: Rows, loads: int, chunks: tuple[float, ...], *, strict: bool) -> list[Capacity]:
    """The best points of all rows; with `strict` only such as hold."""
    n = len(of.read)
    shape = (n, len(IN_FLIGHT), len(chunks))
    row = np.broadcast_to(np.arange(n)[:, None, None], shape).ravel()
    b: FloatArray = np.broadcast_to(IN_FLIGHT[None, :, None], shape).ravel()
    chunk = np.broadcast_to(np.array(chunks), shape).ravel()
    points = _points(cost, of, row, b, chunk, strict=strict)
    for factors, of_each_chunk in FINER:
        group = (
            points.row * len(chunks) + np.searchsorted(np.array(chunks), points.chunk) if of_each_chunk else points.row
        )
        found = _best(points, group)
        finer = (points.b[found][:, None] * factors[None, :]).ravel()
        row, chunk = np.repeat(points.row[found], len(factors)), np.repeat(points.chunk[found], len(factors))
        points = _joined(points, _points(cost, of, row, finer, chunk, strict=strict))
    return _pick(of, points, loads)


def rows(cost: CostModel, layouts: Layouts, loads: Sequence[Load]) -> Rows:
    """Load by load, each with all layouts."""
    n = len(layouts.tp)

    def column(values: list[float]) -> FloatArray:
        return np.repeat(np.array(values, dtype=float), n)

    every = take(layouts, np.tile(np.arange(n), len(loads)))
    context, longest = column([of.context for of in loads]), column([of.longest for of in loads])
    room = np.where(cost.max_sequences(every, longest) >= 1, cost.max_sequences(every, context), 0).astype(float)
    return Rows(
        every,
        column([of.read.mean for of in loads]), column([of.read.squared for of in loads]),
        column([of.read.variation for of in loads]), column([of.output.mean for of in loads]),
        column([of.output.mean * fmean(1 / v for v in of.output.values) for of in loads]), context,
        column([of.deep for of in loads]), column([of.z for of in loads]),
        column([of.slo.ttft_s if of.slo else np.inf for of in loads]),
        column([of.slo.tpot_s if of.slo else np.inf for of in loads]),
        column([1 - of.slo.percentile / 100 if of.slo else 1.0 for of in loads]),
        np.repeat(np.array([of.samples for of in loads]), n, axis=0), room,
    )  # fmt: skip


def steepness(b: FloatArray, fuller: FloatArray, t: FloatArray, z: FloatArray) -> FloatArray:
    """ε, where an iteration of t seconds takes `fuller` longer with z √b more requests in flight."""
    return np.minimum(fuller * np.sqrt(b) / np.maximum(z, 1e-9) / t, STEEPEST)


def places(b: FloatArray, z: FloatArray) -> FloatArray:
    """Places for requests that hardly ever are all taken, with b in flight in the mean; batch work (z = 0) may wait."""
    return np.ceil(np.where(z > 0, b + (z + SPARE[0]) * np.sqrt(b) + SPARE[1], b))


def _points(cost: CostModel, of: Rows, row: IntArray, b: FloatArray, chunk: FloatArray, *, strict: bool) -> _Points:
    """What happens at the working points that fit memory and read less than a chunk an iteration.

    With `strict` only at those whose TPOT holds: the rest is not worked out.
    """
    slow = cost.interval[1]
    c = b * (of.read / of.written)[row]
    keep = (places(b, of.z[row]) <= of.room[row]) & (c <= BUSY * chunk)
    row, b, chunk, c = row[keep], b[keep], chunk[keep], c[keep]
    at = of.take(row)
    none = cost.seconds(at.layouts, 0.0, b, at.context) * slow
    if strict:
        quick = np.flatnonzero(none <= at.tpot_s)
        row, at = row[quick], at.take(quick)
        b, chunk, c, none = (v[quick] for v in (b, chunk, c, none))
    lanes = at.lanes
    prompts = np.maximum(1.0, lanes * at.read / chunk + 0.5) * b / (lanes * at.written)  # n b / k E[O]
    reading = np.maximum(-np.expm1(-prompts), c / chunk)
    any_reads = 1 - (1 - reading) ** lanes
    deeper = cost.seconds(at.layouts, 0.0, b, at.deep) * slow  # what is read lies deeper than what is written
    apiece = cost.seconds(at.layouts, c / reading, b, at.deep) * slow - deeper
    more = any_reads * apiece
    t = none + more
    fuller = cost.seconds(at.layouts, 0.0, b + at.z * np.sqrt(b), at.context) * slow - none
    whole = none + cost.seconds(at.layouts, chunk, b, at.deep) * slow - deeper
    tau = lanes * whole / chunk
    rate = b / (at.written * t)
    held_varies = fuller * t / none / np.sqrt(1 - steepness(b, fuller, none, at.z))
    of_one = at.brief / b  # what one prompt more adds to f, in parts of it
    behind = (rate / lanes * tau) ** 2 * at.squared / (2 * (1 - np.minimum(rate / lanes * at.read * tau, 0.999)))
    spread = np.sqrt((1 + at.variation) * (of_one + behind * (1 + behind) * of_one**2))
    swing = np.maximum(more, c / chunk * (whole - none))  # several prompts at once may cost more than one by one
    read_varies = swing * (at.z + np.maximum(at.z**2 - 1, 0) / 6 * spread) * spread
    t_q = t + np.where(at.z > 0, behind * of_one * swing, 0.0) + np.hypot(held_varies, read_varies)
    t_q = np.minimum(t_q, np.maximum(fuller + whole, t))
    busy = rate / lanes * at.read * tau
    fits = busy <= BUSY
    first = none + apiece
    holds = fits & (t_q <= at.tpot_s)
    # The queue is worked out only where the rest of the promise holds.
    some = np.flatnonzero(holds)
    asked = at.take(some)
    late = late_share(
        asked.read, asked.squared, asked.samples, (rate / lanes)[some], tau[some], first[some], asked.ttft_s
    )
    holds[some] = late <= at.late[some] + 1e-9
    if strict:
        fits = fits & holds
    return _Points(
        row,
        b,
        chunk,
        np.where(at.z > 0, CALM, 1.0) * rate,
        t_q,
        tau,
        first,
        busy,
        fits,
        holds,
        np.maximum(t_q / at.tpot_s, 1.0),
    )


def late_share(
    read: FloatArray, squared: FloatArray, samples: FloatArray, rate: FloatArray, tau: FloatArray, t: FloatArray,
    ttft_s: FloatArray,
) -> FloatArray:  # fmt: skip
    """Share of requests whose first token comes after `ttft_s`: M/G/1 of one lane at `rate` over the prompt lengths.

    [n]
    """
    busy = np.minimum(rate * read * tau, 0.999)
    wait = rate * squared * tau**2 / (2 * (1 - busy))
    slack = (ttft_s - t)[:, None] - tau[:, None] * samples  # [n, SAMPLES]
    tail = busy[:, None] * np.exp(-np.maximum(slack, 0.0) * (busy / np.maximum(wait, 1e-12))[:, None])
    late: FloatArray = np.where(slack < 0, 1.0, tail).mean(axis=1)
    return late


def _best(p: _Points, group: IntArray) -> IntArray:
    """Index of the best point of each group that has any: promise kept before rate, rate before the rest."""
    bears = p.fits & (p.busy <= STABLE)
    # Three classes; inside each the highest rate. A point that breaks TPOT counts by how much it breaks it.
    rate = p.rate * (1 - SMALLER * np.log2(p.chunk / CHUNKS[0]))
    worth = np.where(p.holds, 1e9 + rate, np.where(bears, 1e3 + rate / p.slow**4, 0.0))
    order = np.lexsort((worth, group))
    last = order[np.append(np.diff(group[order]) != 0, True)] if len(order) else order
    return last[worth[last] > 0]


def _joined(a: _Points, b: _Points) -> _Points:
    return _Points(*(np.concatenate([getattr(a, f), getattr(b, f)]) for f in _Points.__slots__))


def _pick(of: Rows, p: _Points, loads: int) -> list[Capacity]:
    """The best points as columns over layouts, load by load, with the TTFT they reach."""
    n = len(of.read)
    picked = _best(p, p.row)
    has = p.row[picked]
    columns = {name: np.zeros(n) for name in ("rate", "in_flight", "chunk", "ttft_s", "tpot_s")}
    holds = np.zeros(n, dtype=bool)
    for name, values in (("rate", p.rate), ("in_flight", p.b), ("chunk", p.chunk), ("tpot_s", p.tpot_s)):
        columns[name][has] = values[picked]
    holds[has] = p.holds[picked]
    promised = np.isfinite(of.ttft_s[has])
    picked, has = picked[promised], has[promised]
    if picked.size:
        at = of.take(has)
        columns["ttft_s"][has] = _ttft(at, p.rate[picked] / at.lanes, p.tau[picked], p.t[picked])
    each = n // loads
    return [
        Capacity(**{k: v[i : i + each] for k, v in columns.items()}, holds=holds[i : i + each])
        for i in range(0, n, each)
    ] if each else [Capacity(**columns, holds=holds)] * loads  # fmt: skip


def _ttft(of: Rows, rate: FloatArray, tau: FloatArray, t: FloatArray) -> FloatArray:
    """Time to first token at the promised percentile: where the share of late ones crosses what is allowed. [n]"""
    low, high = np.full_like(t, np.log(TTFT_RANGE_S[0])), np.full_like(t, np.log(TTFT_RANGE_S[1]))
    while float(high[0] - low[0]) > TTFT_SAYS:
        middle = (low + high) / 2
        late = late_share(of.read, of.squared, of.samples, rate, tau, t, np.exp(middle)) > of.late
        low, high = np.where(late, middle, low), np.where(late, high, middle)
    return np.asarray(np.exp(high))
