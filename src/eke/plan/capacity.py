"""How many requests a second one replica takes so that its latency promise holds: batch dynamics and queueing.

Symbols, as in docs/design/plan.md:

    P, O     prompt tokens to read and tokens to write of a request; h prompt tokens already cached
    b        requests in flight, mean; λ requests/s; t(b, c) seconds of an iteration that decodes b and reads c prompt
    tokens C        prompt tokens an iteration reads at most (chunked prefill); q the share of requests promised; z =
    Φ⁻¹(q)

Each iteration gives every request in flight one token, so by Little's law  λ = b / (E[O] t(b, c))  with c = b E[P] /
E[O].

A prompt is read by one of k = dp pp lanes (a data rank's pipeline turn), each 1/k of the replica.

TPOT. The number in flight is Poisson-like: b_q = b + z √b (arrivals go to the emptiest lane). While one request lives,
b/k others arrive in its lane; the prompt tokens they bring vary by a factor 1 + z √((1 + cv²(P)) k / b) around their
mean, at most C an iteration: c_q. Promise: t(b_q, c_q) ≤ TPOT.

TTFT. Prompts queue for the reading part of a lane's iterations, one after the other, at τ = k t(b, C) / C seconds a
token: an M/G/1 queue with service S = τ P, ρ = λ/k E[S], mean wait W = λ/k E[S²] / (2 (1 - ρ)) (Pollaczek-Khinchine)
and the tail P(wait > x) = ρ exp(-ρ x / W). Promise: E over P of P(wait > TTFT - τ P - t(b, c)) ≤ 1 - q.

Memory. b_q requests of mean length fit, and one of the 99.9th percentile.

It knows one replica; no pool, no demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

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
TTFT_RANGE_S, TTFT_STEPS = (1e-3, 1e5), 40
SAMPLES = 16
"""Prompt lengths the tail of TTFT is averaged over."""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests as one replica sees them.

    Attributes:
        read: prompt tokens to read, cached ones excluded; its distribution.
        context: mean tokens of cache of a request in flight; longest: of the 99.9th percentile at its end.
        slo: None for batch work.
    """

    read: Distribution
    output: Distribution
    context: float
    longest: float
    slo: Slo | None
    samples: FloatArray  # a few equally likely lengths to read, the tail of TTFT is averaged over them [SAMPLES]

    @property
    def z(self) -> float:
        """Standard normal quantile of the promised percentile."""
        return NormalDist().inv_cdf(self.slo.percentile / 100) if self.slo else 0.0


def load(prompt: Distribution, output: Distribution, prefix_hit: float, slo: Slo | None) -> Load:
    """The load of a workload; a decoding request is met, in the mean, E[O²] / 2 E[O] tokens into its answer."""
    read = Distribution(tuple(max(1.0, v * (1 - prefix_hit)) for v in prompt.values))
    context = prompt.mean + output.squared / (2 * output.mean)
    values = np.array(read.values)
    samples = values if len(values) <= SAMPLES else values.reshape(SAMPLES, -1).mean(axis=1)
    return Load(read, output, context, prompt.quantile(0.999) + output.quantile(0.999), slo, samples)


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
class _Points:
    """Working points: rows of layouts with b and C, and what follows. All [m]."""

    row: IntArray
    b: FloatArray
    chunk: FloatArray
    rate: FloatArray
    tpot_s: FloatArray
    late: FloatArray  # share of requests whose first token is late
    busy: FloatArray  # ρ
    fits: NDArray[np.bool_]


def capacity(cost: CostModel, layouts: Layouts, of: Load, chunks: tuple[float, ...] = CHUNKS) -> Capacity:
    """The highest rate of each layout under the promise; where none holds, the rate it can bear, with `holds` False."""
    n = len(layouts.tp)
    room = np.where(cost.max_sequences(layouts, of.longest) >= 1, cost.max_sequences(layouts, of.context), 0).astype(
        float
    )
    shape = (n, len(IN_FLIGHT), len(chunks))
    row = np.broadcast_to(np.arange(n)[:, None, None], shape).ravel()
    b: FloatArray = np.broadcast_to(IN_FLIGHT[None, :, None], shape).ravel()
    chunk = np.broadcast_to(np.array(chunks), shape).ravel()
    points = _points(cost, layouts, of, room, row, b, chunk)
    for factors, of_each_chunk in FINER:
        group = (
            points.row * len(chunks) + np.searchsorted(np.array(chunks), points.chunk) if of_each_chunk else points.row
        )
        found = _best(points, of, group)
        finer = (points.b[found][:, None] * factors[None, :]).ravel()
        row, chunk = np.repeat(points.row[found], len(factors)), np.repeat(points.chunk[found], len(factors))
        points = _joined(points, _points(cost, layouts, of, room, row, finer, chunk))
    return _pick(cost, layouts, of, points, n)


def _points(
    cost: CostModel, layouts: Layouts, of: Load, room: FloatArray, row: IntArray, b: FloatArray, chunk: FloatArray
) -> _Points:
    """What happens at the working points that fit memory and read less than a chunk an iteration."""
    slow = cost.interval[1]
    read, written = of.read.mean, of.output.mean
    c = b * read / written
    b_q = b + of.z * np.sqrt(b)
    keep = (np.ceil(b_q) <= room[row]) & (c <= BUSY * chunk)
    row, b, chunk, c, b_q = row[keep], b[keep], chunk[keep], c[keep], b_q[keep]
    at = take(layouts, row)
    lanes = (at.dp * at.pp).astype(float)
    c_q = np.minimum(chunk, c * (1 + of.z * np.sqrt((1 + of.read.variation) * lanes / b)))
    t = cost.mixed(at, c, b, of.context).seconds * slow
    t_q = cost.mixed(at, c_q, b_q, of.context).seconds * slow if of.slo else t
    tau = lanes * cost.mixed(at, chunk, b, of.context).seconds * slow / chunk
    rate = b / (written * t)
    busy = rate / lanes * read * tau
    late = _late(of, rate / lanes, tau, t, of.slo.ttft_s) if of.slo else np.zeros_like(t)
    return _Points(row, b, chunk, rate, t_q, late, busy, busy <= BUSY)


def _late(of: Load, rate: FloatArray, tau: FloatArray, t: FloatArray, ttft_s: FloatArray | float) -> FloatArray:
    """Share of requests whose first token comes after `ttft_s`: M/G/1 of one lane at `rate` over the prompt lengths.
    All [...]
    """
    busy = np.minimum(rate * of.read.mean * tau, 0.999)
    wait = rate * of.read.squared * tau**2 / (2 * (1 - busy))
    slack = (ttft_s - t)[..., None] - tau[..., None] * of.samples
    tail = busy[..., None] * np.exp(-np.maximum(slack, 0.0) * (busy / np.maximum(wait, 1e-12))[..., None])
    late: FloatArray = np.where(slack < 0, 1.0, tail).mean(axis=-1)
    return late


def _holds(p: _Points, of: Load) -> NDArray[np.bool_]:
    if of.slo is None:
        return p.fits
    return p.fits & (p.tpot_s <= of.slo.tpot_s) & (p.late <= 1 - of.slo.percentile / 100 + 1e-9)


def _best(p: _Points, of: Load, group: IntArray) -> IntArray:
    """Index of the best point of each group that has any: promise kept before rate, rate before the rest."""
    holds = _holds(p, of)
    bears = p.fits & (p.busy <= STABLE)
    slow = np.maximum(p.tpot_s / of.slo.tpot_s, 1.0) if of.slo else np.ones_like(p.rate)
    # Three classes; inside each the highest rate. A point that breaks TPOT counts by how much it breaks it.
    rate = p.rate * (1 - SMALLER * np.log2(p.chunk / CHUNKS[0]))
    worth = np.where(holds, 1e9 + rate, np.where(bears, 1e3 + rate / slow**4, 0.0))
    order = np.lexsort((worth, group))
    last = order[np.append(np.diff(group[order]) != 0, True)] if len(order) else order
    return last[worth[last] > 0]


def _joined(a: _Points, b: _Points) -> _Points:
    return _Points(*(np.concatenate([getattr(a, f), getattr(b, f)]) for f in _Points.__slots__))


def _pick(cost: CostModel, layouts: Layouts, of: Load, p: _Points, n: int) -> Capacity:
    """The best points as columns over layouts, with the TTFT they reach."""
    picked = _best(p, of, p.row)
    has = p.row[picked]
    columns = {name: np.zeros(n) for name in ("rate", "in_flight", "chunk", "ttft_s", "tpot_s")}
    holds = np.zeros(n, dtype=bool)
    columns["rate"][has], columns["in_flight"][has], columns["chunk"][has] = (
        p.rate[picked],
        p.b[picked],
        p.chunk[picked],
    )
    columns["tpot_s"][has], holds[has] = p.tpot_s[picked], _holds(p, of)[picked]
    if of.slo and picked.size:
        columns["ttft_s"][has] = _ttft(cost, take(layouts, has), of, p.b[picked], p.chunk[picked])
    return Capacity(**columns, holds=holds)


def _ttft(cost: CostModel, layouts: Layouts, of: Load, b: FloatArray, chunk: FloatArray) -> FloatArray:
    """Time to first token at the promised percentile: where the late share crosses 1 - q, to 1%. [n]"""
    assert of.slo is not None
    slow = cost.interval[1]
    t = cost.mixed(layouts, b * of.read.mean / of.output.mean, b, of.context).seconds * slow
    lanes = (layouts.dp * layouts.pp).astype(float)
    tau = lanes * cost.mixed(layouts, chunk, b, of.context).seconds * slow / chunk
    rate, target = b / (of.output.mean * t) / lanes, 1 - of.slo.percentile / 100
    low = np.full_like(t, TTFT_RANGE_S[0])
    step = (TTFT_RANGE_S[1] / TTFT_RANGE_S[0]) ** (1 / TTFT_STEPS)
    for _ in range(2):
        tried = low[:, None] * step ** np.arange(TTFT_STEPS + 1)  # [n, steps]
        late = _late(of, rate[:, None], tau[:, None], t[:, None], tried) > target
        first = np.minimum(late.sum(axis=1), TTFT_STEPS)
        high = tried[np.arange(len(t)), first]
        low, step = high / step, step ** (1 / TTFT_STEPS)
    return np.asarray(high)
