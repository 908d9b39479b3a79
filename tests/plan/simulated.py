"""One replica simulated iteration by iteration: the oracle `eke.plan.capacity` is held against.

Like a counter of k clerks who all step at once: each gives every guest it serves one token and reads a piece of the
first prompts in its line, and the slowest sets the pace. Poisson arrivals go to the shortest line. It shares nothing
with `capacity` but the cost model's seconds of an iteration, tabulated beforehand.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eke.cost import CostModel, Layouts
from eke.plan.distribution import Distribution

READ_POINTS, HELD_POINTS = 33, 48
WARM_UP = 0.1
"""Share of the requests that fill the replica and are not counted."""


class Seen(NamedTuple):
    """TTFT and TPOT in seconds at the percentile; shares of requests in time; requests/s served."""

    ttft_s: float
    tpot_s: float
    first_in_time: float
    rest_in_time: float
    rate: float


class Iterations:
    """Seconds of an iteration from a table over (held, read), straight in the context in between. All of a replica."""

    def __init__(self, cost: CostModel, layout: Layouts, chunk: float, most: int, context: float) -> None:
        read = chunk * np.linspace(0, 1, READ_POINTS)
        held = np.unique(np.geomspace(1, max(most, 2), HELD_POINTS).round())
        c, b, at = (a.ravel() for a in np.meshgrid(read, np.append(0, held), [0.5 * context, 1.5 * context]))
        every = Layouts.of(*(np.repeat(getattr(layout, n), len(c)) for n in ("tp", "pp", "ep", "dp")))
        seconds = (cost.seconds(every, c, b, at) * cost.interval[1]).reshape(len(held) + 1, READ_POINTS, 2)
        whole = np.arange(most + 1)
        known = np.append(0, held)
        dense = np.array([
            [np.interp(whole, known, seconds[:, i, j]) for i in range(READ_POINTS)] for j in (0, 1)
        ])  # [2, READ_POINTS, most + 1]  # fmt: skip
        slope = (dense[1] - dense[0]) / context
        self._base = (dense[0] - slope * 0.5 * context).T.tolist()
        self._slope, self._step = slope.T.tolist(), chunk / (READ_POINTS - 1)
        self.context = context

    def seconds(self, held: int, read: float, context: float, past: float) -> float:
        """One iteration: `held` requests of mean `context` write, `read` tokens are read after `past` others."""
        at = read / self._step
        i = min(int(at), READ_POINTS - 2)
        f = at - i
        base, slope, alone = self._base[held], self._slope[held], self._slope[0]
        t = (1 - f) * (base[i] + slope[i] * context) + f * (base[i + 1] + slope[i + 1] * context)
        if read:  # the chunk lies where it lies in its prompt, not in the middle of a prompt of mean context
            t += ((1 - f) * alone[i] + f * alone[i + 1] - alone[0]) * (2 * past + read - context)
        return float(t)


@dataclass(slots=True)
class _Request:
    came: float
    prompt: float
    left: float  # prompt tokens to read still
    output: int
    first: float = 0.0


@dataclass(slots=True)
class _Lane:
    waiting: deque[_Request] = field(default_factory=deque)
    reading: deque[_Request] = field(default_factory=deque)
    writing: list[tuple[int, int, _Request]] = field(default_factory=list)
    cached: float = 0.0

    @property
    def line(self) -> int:
        return 4 * (len(self.waiting) + len(self.reading)) + len(self.writing)


def drawn(lengths: Distribution, share: np.ndarray) -> np.ndarray:
    """Lengths at uniform shares: one of the equally likely ones each."""
    values = np.array(lengths.values)
    return values[np.minimum((share * len(values)).astype(int), len(values) - 1)]


def replica(
    times: Iterations, lanes: int, rate: float, prompt: Distribution, output: Distribution, *, hit: float = 0.0,
    chunk: float, most: int, room: float, percentile: float, slo: tuple[float, float], requests: int = 3000,
    seed: int = 7, part: str = "", handing: float = 0.0, arrivals: np.ndarray | None = None,
) -> tuple[Seen, np.ndarray]:  # fmt: skip
    """What requests at `rate` a second see, and when each prompt was read.

    `times`: of iterations. lanes: k.
        hit: share of a prompt found in a cache. chunk: tokens an iteration reads at most.
        most: requests in flight at most; room: tokens of cache.
        slo: promised TTFT and TPOT. part: "prefill": only reads; "decode": prompts come read.
        handing: seconds a token that is read takes to its writer; part of TTFT. arrivals: instead of Poisson ones.
    """
    random = np.random.default_rng(seed)
    came = np.cumsum(random.exponential(1 / rate, requests)) if arrivals is None else arrivals
    prompts, outputs = (
        drawn(prompt, random.random(requests)),
        np.maximum(drawn(output, random.random(requests)).round(), 1),
    )
    to_read = np.zeros(requests) if part == "decode" else np.maximum(1.0, prompts * (1 - hit))
    to_write = np.ones(requests) if part == "prefill" else outputs
    every = [
        _Request(float(a), float(p), float(left), int(o))
        for a, p, left, o in zip(came, prompts, to_read, to_write, strict=True)
    ]
    line = [_Lane() for _ in range(lanes)]
    each, space, piece, now, turn, coming = -(-most // lanes), room / lanes, chunk / lanes, 0.0, 0, 0
    last = np.zeros(requests)
    order = {id(r): i for i, r in enumerate(every)}
    busy = 0
    while coming < requests or busy:
        if not busy:
            now = max(now, every[coming].came)
        while coming < requests and every[coming].came <= now:
            min(line, key=lambda lane: lane.line).waiting.append(every[coming])
            coming += 1
            busy += 1
        held = read = 0.0
        cached = past = 0.0
        started: list[_Request] = []
        for lane in line:
            started += _admit(lane, each, space, turn, order)
            held = max(held, len(lane.writing))
            cached += lane.cached - sum(r.prompt - r.left for r in lane.reading)
            tokens, start = 0.0, 0.0
            for r in lane.reading:
                take = min(r.left, piece - tokens)
                if take <= 0:
                    break
                start += take * (r.prompt - r.left)
                tokens += take
            if tokens > read:
                read, past = tokens, start / tokens
        writers = sum(len(lane.writing) for lane in line)
        now += times.seconds(int(held * lanes), read * lanes, cached / writers if writers else times.context, past)
        turn += 1
        for r in started:
            r.first = now
        for lane in line:
            lane.cached += len(lane.writing)
            while lane.writing and lane.writing[0][0] <= turn:
                _, i, r = heapq.heappop(lane.writing)
                last[i] = now
                lane.cached -= r.prompt + r.output
                busy -= 1
            tokens = piece
            while lane.reading and tokens > 0:
                r = lane.reading[0]
                take = min(r.left, tokens)
                r.left -= take
                tokens -= take
                lane.cached += take
                if r.left > 0:
                    break
                lane.reading.popleft()
                r.first = now
                if r.output > 1:
                    lane.cached += 1
                    heapq.heappush(lane.writing, (turn + r.output - 1, order[id(r)], r))
                else:
                    last[order[id(r)]] = now
                    lane.cached -= r.prompt
                    busy -= 1
    counted = slice(int(WARM_UP * requests), int(0.98 * requests))
    firsts = np.array([r.first for r in every])
    ttft = (firsts - came + handing * np.array([max(1.0, r.prompt * (1 - hit)) for r in every]))[counted]
    more = np.array([r.output - 1 for r in every])[counted]
    tpot = ((last - firsts)[counted] / np.maximum(more, 1))[more > 0]
    tpot = tpot if len(tpot) else np.zeros(1)
    seen = Seen(
        float(np.percentile(ttft, percentile)), float(np.percentile(tpot, percentile)),
        float(np.mean(ttft <= slo[0])), float(np.mean(tpot <= slo[1])), requests / float(last.max() - came[0]),
    )  # fmt: skip
    return seen, firsts


def _admit(lane: _Lane, each: int, space: float, turn: int, order: dict[int, int]) -> list[_Request]:
    """Takes requests in while there is a place and room for all they will have written; those that begin to write."""
    started = []
    while lane.waiting and len(lane.reading) + len(lane.writing) < each:
        r = lane.waiting[0]
        promised = lane.cached + sum(q.left for q in lane.reading)
        if promised + r.prompt + r.output > space and (lane.reading or lane.writing):
            break
        lane.waiting.popleft()
        if r.left:
            lane.cached += r.prompt - r.left
            lane.reading.append(r)
        else:
            lane.cached += r.prompt
            heapq.heappush(lane.writing, (turn + r.output, order[id(r)], r))
            started.append(r)
    return started
