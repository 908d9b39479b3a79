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

TPOT. An answer of m = O - 1 more tokens is late if, of the D = m TPOT seconds it may take, reading takes more than
D - m t(b, 0). Reading comes in phases: for the share r = f t_r / t̄ of the time iterations read (t_r = t(b, c/φ)), of
whose time e = Δ / t_r is more than writing alone takes, and a phase is remembered for a = S (1 + v) / (2 (1 - φ t_r /
t̄)) seconds: S = f E[O] t_r / b is what a prompt takes (of k lanes that read at random, f / k φ of it by itself), v the
squared variation of its iterations (M/G/1). What reading adds in D has, as that of a process with two states,

    mean     e r D
    variance 2 r (1 - r) (e a)² (u - 1 + exp(-u))                u = D / a
    third    6 r (1 - r) (1 - 2 r) (e a)³ (u - 2 + (2 + u) exp(-u))

Iterations do not all read as much: r D l² / t_r more variance and 2 r D l³ / t_r more skew, l the deviation of what one
adds. Nor are always b in flight, but b / (1 - ε) about them, with ε = d ln t(b, 0) / d ln b (a fuller replica is slower
and so fuller still): (m β)² more variance, β = (t(b + z√b, 0) - t(b, 0)) t̄ / (z t(b, 0) √(1 - ε)). The tail is that of
a Pearson III of these three (Wilson-Hilferty). Promise: E over O of P(late) ≤ 1 - q; or t(b + z√b, 0) + t(b, C) -
t(b, 0) ≤ TPOT, beyond which no iteration goes.

TTFT. Prompts queue for the reading part of a lane's iterations, one after the other, at τ = k t(b, C) / C seconds a
token: an M/G/1 queue with service S = τ P, ρ = λ/k E[S], mean wait W = λ/k E[S²] / (2 (1 - ρ)) (Pollaczek-Khinchine)
and the tail P(wait > x) = ρ exp(-ρ x / W). Promise: E over P of P(wait > TTFT - τ P - t̄) ≤ 1 - q.

What is promised is `CALM` of the highest rate so found.

Memory. `places` for requests of mean length fit, and one of the 99.9th percentile.

`benchmarks/capacity_check.py` holds this against a simulation.

It knows one replica; no pool, no demand. Loads are worked out together, one row for each pair of load and layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from eke.cost import CostModel, FloatArray, IntArray, Layouts
from eke.cost.stack import Stack
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
MORE = 4 * IN_FLIGHT[-1]
"""More than are ever tried."""
FLAT = 0.02
"""Where more in flight raises the rate by less than this share, the highest rate may be one of fewer."""
BLOCK = 2048
"""Rows worked out together: their arrays then stay in the processor's cache."""
BUSY = 0.95
"""Most of its time a replica may spend reading prompts, promises aside."""
STABLE = 0.7
"""The same for a replica that cannot hold its promise at any rate: it still must not fall behind."""
RANGE_S, SAYS = (1e-4, 1e5), 0.01
"""Latencies that are looked among, and the share they are said to."""
CALM = 0.9
"""Of the rate that would just do, what is promised: these formulas are that much too hopeful where queues and bursts
meet (`benchmarks/capacity_check.py`)."""
STEEPEST = 0.9
"""Most that ε is taken for: beyond it the number in flight is not near any mean."""
SPARE = (3.0, 3.0)
"""Places beyond the promised percentile, in √b and in requests: who waits for a place is late."""
SAMPLES, ANSWERS = 16, 8
"""Lengths that tails are averaged over: of prompts for TTFT, of answers for TPOT."""


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
    answers: FloatArray  # the same of tokens to write after the first, for TPOT [ANSWERS]

    @property
    def key(self) -> tuple[object, ...]:
        """Loads of equal keys are equal."""
        return self.read, self.output, self.context, self.deep, self.longest, self.slo

    @property
    def z(self) -> float:
        """Standard normal quantile of the promised percentile."""
        return NormalDist().inv_cdf(self.slo.percentile / 100) if self.slo else 0.0


@lru_cache(1000)
def load(prompt: Distribution, output: Distribution, prefix_hit: float, slo: Slo | None) -> Load:
    """The load of a workload; a decoding request is met, in the mean, E[O²] / 2 E[O] tokens into its answer."""
    read = Distribution(tuple(max(1.0, v * (1 - prefix_hit)) for v in prompt.values))
    context = prompt.mean + output.squared / (2 * output.mean)
    longest = prompt.quantile(0.999) + output.quantile(0.999)
    return Load(
        read, output, context, prompt.squared / prompt.mean, longest, slo, _few(read, SAMPLES),
        np.maximum(_few(output, ANSWERS) - 1, 1.0),
    )  # fmt: skip


def _few(lengths: Distribution, n: int) -> FloatArray:
    """`n` equally likely lengths that stand for all."""
    values = np.array(lengths.values)
    if len(values) % n:
        return values[(np.arange(n) * len(values)) // n]
    few: FloatArray = values.reshape(n, -1).mean(axis=1)
    return few


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
class Asked:
    """A cost model, layouts and loads: every load is asked about in every layout."""

    cost: CostModel
    layouts: Layouts
    loads: Sequence[Load]


@dataclass(frozen=True, slots=True)
class Rows:
    """Pairs of load and layout; all [n]. What nobody promised is endless, and late requests are allowed."""

    stack: Stack
    reads: FloatArray  # of each load [loads, SAMPLES]
    writes: FloatArray  # of each load [loads, ANSWERS]
    which: IntArray  # model of the stack
    load: IntArray
    layouts: Layouts
    read: FloatArray  # E[P]
    squared: FloatArray  # E[P²]
    variation: FloatArray
    written: FloatArray  # E[O]
    context: FloatArray
    deep: FloatArray  # E[P²] / E[P] of whole prompts: the length of the prompt a token lies in
    z: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    late: FloatArray  # share of requests allowed to be late
    room: FloatArray  # requests memory holds

    def take(self, rows: IntArray) -> Rows:
        """Some of them, in that order."""
        columns = (getattr(self, f)[rows] for f in Rows.__slots__[6:])
        which, load = self.which[rows], self.load[rows]
        return Rows(self.stack, self.reads, self.writes, which, load, take(self.layouts, rows), *columns)

    @property
    def samples(self) -> FloatArray:
        """Prompts to read. [n, SAMPLES]"""
        return self.reads[self.load]

    @property
    def answers(self) -> FloatArray:
        """Tokens to write after the first. [n, ANSWERS]"""
        return self.writes[self.load]

    def seconds(self, fresh: FloatArray | float, held: FloatArray, depth: FloatArray | None = None) -> FloatArray:
        """Of an iteration that reads `fresh` tokens beside `held` requests that decode, at the slow end. [n, k]"""
        depth = self.context if depth is None else depth
        slow = self.stack.slow[self.which][:, None]
        return self.stack.seconds(self.which, self.layouts, fresh, held, self.context, depth) * slow

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
    pace: _Pace
    most: FloatArray  # no token takes longer
    tau: FloatArray
    t: FloatArray
    busy: FloatArray  # ρ
    fits: NDArray[np.bool_]
    holds: NDArray[np.bool_]
    slow: FloatArray  # TPOT over the promised one, at least 1


def capacity(cost: CostModel, layouts: Layouts, of: Load, chunks: tuple[float, ...] = CHUNKS) -> Capacity:
    """The highest rate of each layout under the promise; where none holds, the rate it can bear, with `holds` False."""
    return capacities([Asked(cost, layouts, (of,))], chunks, late=True)[0][0]


def capacities(
    asked: Sequence[Asked], chunks: tuple[float, ...] = CHUNKS, *, late: bool = False
) -> list[list[Capacity]]:  # fmt: skip
    """The same for each load of each that is asked; without `late` only working points that hold.

    All are of one architecture, on accelerators or on CPUs.
    """
    of = rows(asked)
    starts = range(0, len(of.read), BLOCK)
    blocks = [_searched(of.take(np.arange(i, min(i + BLOCK, len(of.read)))), chunks, strict=not late) for i in starts]
    columns = [np.concatenate([getattr(block, f) for block in blocks]) for f in Capacity.__slots__]
    ends = np.cumsum([len(one.layouts) for one in asked for _ in one.loads])[:-1]
    each = iter(zip(*(np.split(column, ends) for column in columns), strict=True))
    return [[Capacity(*next(each)) for _ in one.loads] for one in asked]


def _searched(of: Rows, chunks: tuple[float, ...], *, strict: bool) -> Capacity:
    """The best points of all rows; with `strict` only such as hold."""
    n, k, lengths = len(of.read), len(IN_FLIGHT), np.array(chunks)
    held = _held(of, np.arange(n), np.broadcast_to(IN_FLIGHT, (n, k)), strict=strict)
    points = _tried(of, held, np.broadcast_to(lengths, (len(held.row), len(lengths))), 0.0, strict=strict)
    for factors, of_each_chunk in FINER:
        group = points.row * len(chunks) + np.searchsorted(lengths, points.chunk) if of_each_chunk else points.row
        found = _best(points, group)
        row, b = points.row[found], points.b[found]
        # Chunk lengths whose best points hold equally many share what depends on these alone.
        _, first, which = np.unique(row * MORE + b, return_index=True, return_inverse=True)
        held = _held(of, row[first], b[first, None] * factors, strict=strict)
        place = np.full(len(first), -1)
        place[held.which] = np.arange(len(held.which))
        at = place[which]
        finer = held.pick(at[at >= 0], np.arange(len(factors))[None, :])
        found = found[at >= 0, None]
        points = _joined(points, _tried(of, finer, points.chunk[found], points.rate[found], strict=strict))
    return _pick(of, points)


def _tried(of: Rows, held: _Held, chunk: FloatArray, known: FloatArray | float, *, strict: bool) -> _Points:
    """Points of every chunk length of a row [m, c] with every number in flight; with `strict` of the most that hold.

    These are found by halving: a promise broken stays broken with more in flight, and the rate rises, here from `known`
    [m, c]. Where it hardly rises all are tried.
    """
    m, k, c = *held.b.shape, chunk.shape[1]
    every = np.repeat(np.arange(k), c)[None, :]
    if not strict:
        return _points(of, held.pick(np.arange(m), every), np.tile(chunk, k), strict=False)[0]
    least, over = np.full((m, c), -1), np.repeat(k - np.argmax(held.may[:, ::-1], axis=1)[:, None], c, axis=1)
    best, flat = np.broadcast_to(known, (m, c)).copy(), np.zeros((m, c), dtype=bool)
    tried: list[_Points] = []
    while (rows := np.flatnonzero((over - least > 1).any(axis=1))).size or not tried:
        level = np.where(over - least > 1, (over + least) // 2, -1)[rows]
        points, rate = _points(of, held.pick(rows, level), chunk[rows], strict=True)
        tried.append(points)
        holds = rate > 0
        flat[rows] |= holds & (rate < (1 + FLAT) * best[rows])
        least[rows] = np.where(holds, level, least[rows])
        over[rows] = np.where(holds | (level < 0), over[rows], level)
        best[rows] = np.where(holds, rate, best[rows])
    row, column = np.nonzero(flat)
    if row.size:
        length = np.broadcast_to(chunk[row, column, None], (len(row), k))
        tried.append(_points(of, held.pick(row, every[:, ::c]), length, strict=True)[0])
    return _joined(*tried)


def rows(asked: Sequence[Asked]) -> Rows:
    """Model by model and load by load, each with all layouts."""
    stack, loads = Stack([one.cost for one in asked]), [of for one in asked for of in one.loads]
    width = [len(one.layouts) for one in asked for _ in one.loads]
    which = np.repeat(np.arange(len(asked)), [len(one.layouts) * len(one.loads) for one in asked])
    tables = [getattr(one.layouts, f) for f in Layouts.__slots__ for one in asked for _ in one.loads]
    every = Layouts(*np.concatenate(tables).reshape(len(Layouts.__slots__), -1))
    numbers = np.array([
        (of.read.mean, of.read.squared, of.read.variation, of.output.mean, of.context, of.deep, of.z,
         *((of.slo.ttft_s, of.slo.tpot_s, 1 - of.slo.percentile / 100) if of.slo else (np.inf, np.inf, 1.0)),
         of.longest)
        for of in loads
    ])  # fmt: skip
    *columns, longest = np.repeat(numbers, width, axis=0).T.copy()
    held = stack.max_sequences(which, every, columns[4])
    room = np.where(stack.max_sequences(which, every, longest) >= 1, held, 0).astype(float)
    reads, writes = np.array([of.samples for of in loads]), np.array([of.answers for of in loads])
    return Rows(stack, reads, writes, which, np.repeat(np.arange(len(loads)), width), every, *(*columns, room))


def steepness(b: FloatArray, fuller: FloatArray, t: FloatArray, z: FloatArray) -> FloatArray:
    """ε, where an iteration of t seconds takes `fuller` longer with z √b more requests in flight."""
    return np.minimum(fuller * np.sqrt(b) / np.maximum(z, 1e-9) / t, STEEPEST)


def places(b: FloatArray, z: FloatArray) -> FloatArray:
    """Places for requests that hardly ever are all taken, with b in flight in the mean; batch work (z = 0) may wait."""
    return np.ceil(np.where(z > 0, b + (z + SPARE[0]) * np.sqrt(b) + SPARE[1], b))


@dataclass(frozen=True, slots=True)
class _Held:
    """Rows with k mean numbers of requests in flight each, and how long an iteration takes that reads nothing.

    Attributes:
        row: [m]. which: of what was asked about, these rows. [m]
        none: t(b, 0). fuller: what z √b more requests add to it. may: what is not ruled out yet. b too: [m, k]
    """

    row: IntArray
    which: IntArray
    b: FloatArray
    none: FloatArray
    fuller: FloatArray
    may: NDArray[np.bool_]

    def pick(self, rows: IntArray, level: IntArray) -> _Held:
        """Of some rows each the columns `level` [rows, any]; what is left of the first may not be."""
        at = (rows[:, None], np.maximum(level, 0))
        return _Held(
            self.row[rows], self.which[rows], self.b[at], self.none[at], self.fuller[at], self.may[at] & (level >= 0)
        )  # fmt: skip


def _held(of: Rows, row: IntArray, b: FloatArray, *, strict: bool) -> _Held:
    """What numbers `b` [m, k] of requests in flight cost by themselves; without rows in which none can be.

    No TPOT is below t(b + z √b, 0): with `strict` what is too slow then is ruled out.
    """
    at = of.take(row)
    which = np.flatnonzero(places(b[:, 0], at.z) <= at.room)
    row, b, at = row[which], b[which], at.take(which)
    k = b.shape[1]
    more = b + at.z[:, None] * np.sqrt(b)
    t = at.seconds(0.0, np.concatenate([b, more], axis=1))
    none, full = t[:, :k], t[:, k:]
    may = places(b, at.z[:, None]) <= at.room[:, None]
    if strict:
        may &= full <= at.tpot_s[:, None]
    some = np.flatnonzero(may.any(axis=1))
    return _Held(row, which, b, none, full - none, may).pick(some, np.arange(k)[None, :])


def _points(
    of: Rows, held: _Held, chunk: FloatArray, *, strict: bool
) -> tuple[_Points, FloatArray]:  # fmt: skip
    """What happens where prompts are read `chunk` [m, k] tokens an iteration, and less than that in the mean.

    With `strict` only those points that hold. Also the rates of those that hold, of others 0. [m, k]
    """
    at = of.take(held.row)
    b, none, fuller = held.b, held.none, held.fuller
    read, squared, written, lanes, z, tpot_s, variation = (
        v[:, None] for v in (at.read, at.squared, at.written, at.lanes, at.z, at.tpot_s, at.variation)
    )
    c = b * read / written
    pieces = np.maximum(1.0, lanes * read / chunk + 0.5)  # n
    prompts = pieces * b / (lanes * written)  # n b / k E[O]
    reading = np.minimum(np.maximum(-np.expm1(-prompts), c / chunk), 1.0)
    any_reads = 1 - (1 - reading) ** lanes
    at_once = c / reading
    k = b.shape[1]
    fresh = np.concatenate([at_once, chunk], axis=1)
    t = at.seconds(fresh, np.concatenate([b, b], axis=1), at.deep)  # what is read lies deeper than what is written
    reads, whole = t[:, :k], t[:, k:]
    t = none + any_reads * (reads - none)
    tau = lanes * whole / chunk
    rate = b / (written * t)
    busy = rate / lanes * read * tau
    keep = held.may & (c <= BUSY * chunk)
    fits = keep & (busy <= BUSY)
    varies = fuller * t / none / np.sqrt(1 - steepness(b, fuller, none, z)) / np.maximum(z, 1e-9)
    share, of_lane = np.minimum(any_reads * reads / t, BUSY), np.minimum(reading * reads / t, BUSY)
    longer = 1 + variation * (lanes * read / chunk / pieces) ** 2
    tokens = np.minimum((b / written * lanes * squared + c**2) / reading, at_once * chunk) - at_once**2
    apiece = (whole - reads) / np.maximum(chunk - at_once, 0.01 * chunk)
    pace = _Pace(
        none, varies, share, (reads - none) / reads, any_reads * written / b * reads * longer / (2 * (1 - of_lane)),
        apiece * np.sqrt(np.maximum(tokens, 0.0)),
    )  # fmt: skip
    holds = fits & (t <= tpot_s)
    # The tails are worked out only where the rest of the promise holds.
    mine = np.nonzero(holds & (fuller + whole > tpot_s))
    at_some = of.take(held.row[mine[0]])
    holds[mine] = late_answers(pace.at(mine), at_some.answers, at_some.tpot_s) <= at_some.late + 1e-9
    mine = np.nonzero(holds)
    at_some = of.take(held.row[mine[0]])
    late = late_share(
        at_some.read, at_some.squared, at_some.samples, rate[mine] / at_some.lanes, tau[mine], reads[mine],
        at_some.ttft_s,
    )  # fmt: skip
    holds[mine] = late <= at_some.late + 1e-9
    i = np.nonzero(holds if strict else keep)
    at, pace = of.take(held.row[i[0]]), pace.at(i)
    tpot = t[i] if strict else _tpot(at, pace, (fuller + whole)[i])
    rate = np.where(z > 0, CALM, 1.0) * rate
    return _Points(
        held.row[i[0]], b[i], chunk[i], rate[i], pace, (fuller + whole)[i], tau[i],
        reads[i], busy[i], fits[i], holds[i], np.maximum(tpot / at.tpot_s, 1.0),
    ), np.where(holds, rate, 0.0)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Pace:
    """What sets the time between two tokens; all of one shape.

    Attributes:
        none: seconds of an iteration that reads nothing. varies: its standard deviation, between requests.
        share: of the time in which iterations read (r). extra: of that what reading adds (e).
        phase: seconds for which reading, or none, goes on (a). lump: standard deviation of what reading adds to one
        iteration that reads (l).
    """

    none: FloatArray
    varies: FloatArray
    share: FloatArray
    extra: FloatArray
    phase: FloatArray
    lump: FloatArray

    def at(self, which: object) -> _Pace:
        """Some of them."""
        return _Pace(*(getattr(self, f)[which] for f in _Pace.__slots__))


def late_answers(of: _Pace, answers: FloatArray, tpot_s: FloatArray) -> FloatArray:
    """Share of answers, `answers` tokens after the first [n, ANSWERS], that take longer than `tpot_s` a token. [n]"""
    none, varies, r, e, a, lump = (getattr(of, f)[:, None] for f in _Pace.__slots__)
    seconds = answers * tpot_s[:, None]
    u = seconds / a
    past = np.expm1(-u)  # to the last digit where u is next to nothing, as its differences must be
    two, lumps = 2 * r * (1 - r) * (e * a) ** 2, r * (1 - e) / none * lump**2 * seconds
    variance = two * (u + past) + lumps + (answers * varies) ** 2 + 1e-18
    deviation = np.sqrt(variance)
    third = 3 * two * (1 - 2 * r) * e * a * (2 * (u + past) + u * past) + 2 * lump * lumps
    skew = third / (variance * deviation)
    skew = np.where(np.abs(skew) < 1e-3, 1e-3, skew)
    y = (seconds * (1 - e * r) - answers * none) / deviation
    z = 6 / skew * (np.cbrt(np.maximum(1 + skew * y / 2, 0.0)) - 1) + skew / 6
    late: FloatArray = _above(z).mean(axis=1)
    return late


def _above(z: FloatArray) -> FloatArray:
    """Share of a standard normal above z, to 2e-4 (Bowling and others, 2009, logistic)."""
    above: FloatArray = 1 / (1 + np.exp(np.clip((1.5976 + 0.07056 * z * z) * z, -50, 50)))
    return above


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
    order = np.argsort(worth, kind="stable")
    best = np.full(int(group.max(initial=-1)) + 1, -1)
    best[group[order]] = order  # the last one stays
    kept: IntArray = best[best >= 0]
    return kept[worth[kept] > 0]


def _joined(*parts: _Points) -> _Points:
    def all_of(parts: Sequence[object], names: Iterable[str]) -> list[FloatArray]:
        return [np.concatenate([getattr(part, f) for part in parts]) for f in names]

    pace = _Pace(*all_of([part.pace for part in parts], _Pace.__slots__))
    return _Points(*(pace if f == "pace" else all_of(parts, [f])[0] for f in _Points.__slots__))  # type: ignore[arg-type]


def _pick(of: Rows, p: _Points) -> Capacity:
    """The best points as columns over rows, with the TTFT they reach."""
    n = len(of.read)
    picked = _best(p, p.row)
    has = p.row[picked]
    columns = {name: np.zeros(n) for name in ("rate", "in_flight", "chunk", "ttft_s", "tpot_s")}
    holds = np.zeros(n, dtype=bool)
    for name, values in (("rate", p.rate), ("in_flight", p.b), ("chunk", p.chunk)):
        columns[name][has] = values[picked]
    holds[has] = p.holds[picked]
    promised = np.isfinite(of.ttft_s[has])
    picked, has = picked[promised], has[promised]
    if picked.size:
        at = of.take(has)
        ttft = _ttft(at, p.rate[picked] / at.lanes, p.tau[picked], p.t[picked])
        tpot = _tpot(at, p.pace.at(picked), p.most[picked])
        for name, found, asked in (("ttft_s", ttft, at.ttft_s), ("tpot_s", tpot, at.tpot_s)):
            columns[name][has] = np.where(p.holds[picked], np.minimum(found, asked), found)
    return Capacity(**columns, holds=holds)


def _ttft(of: Rows, rate: FloatArray, tau: FloatArray, t: FloatArray) -> FloatArray:
    """Time to first token at the promised percentile: where the share of late ones crosses what is allowed. [n]"""
    return _crossing(lambda s: late_share(of.read, of.squared, of.samples, rate, tau, t, s), of.late)


def _tpot(of: Rows, pace: _Pace, most: FloatArray) -> FloatArray:
    """Time of a token at the promised percentile, likewise; no more than `most`. [n]"""
    return np.minimum(_crossing(lambda s: late_answers(pace, of.answers, s), of.late), most)


def _crossing(late: Callable[[FloatArray], FloatArray], allowed: FloatArray) -> FloatArray:
    """The seconds at which the share that is late comes down to what is allowed. [n]"""
    low, high = (np.full_like(allowed, np.log(s)) for s in RANGE_S)
    for _ in range(int(np.ceil(np.log2(np.log(RANGE_S[1] / RANGE_S[0]) / SAYS)))):
        middle = (low + high) / 2
        above = late(np.exp(middle)) > allowed
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(np.exp(high))
