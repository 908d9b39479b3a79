"""A replica under a fixed number of clients, each sending its next request when the last one is answered.

That is how published serving runs are measured, and how a queue behind a full engine behaves. Like a barber's shop with
a fixed circle of customers: how long one waits follows from how many there are, how long a cut takes and how long hair
grows. Prices of iterations come from the cost model; here is only who waits for whom. Knows no arrival process.

C clients, B of them in flight (the rest wait for room in the cache), b = B/dp on a data rank; prompts of i tokens,
answers of o, lengths that differ by d of their mean:

    Q = (b - 1) r                        reading everybody else's prompt once; r: what one costs those who decode
    v = Q / (Q + s d o step)             share of them that come while others are read
    w = (1 - m) Q / (Q + s (d + e) o step)   that stand in line: only where prompts stop the rest (m: mixing)
    tpot = step + (1 - w) Q / o
    met = step + (q + (1 - q) v) S       the iteration of others one comes upon: q = Q/(o tpot) of time is long, by S
    ttft = request + arrival B + prefill + turn met + held tpot + k (w + (1 - w)/rounds) Q'
    ttft + (C - B)/B (ttft + o tpot)     who waits for room, if B < C

Requests of like length, sent together, are done together and come back together: while those before them are read (v),
or they stand in line to be read (w). Lengths that differ take them apart, the more the longer they decode; then prompts
come singly and interrupt those who decode; those that come while one is read are read together. Q' is Q with prompts
read together, as a line is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eke.cost.tables import FloatArray, Layouts

if TYPE_CHECKING:
    from eke.cost.model import CostModel

ROUNDS = 10.0
"""Requests a client sends in a published run: the first of them all come at once."""
PASSES = 8
"""Estimates until waits, iterations and places agree."""
CROWDING = 8.0
"""How suddenly a line forms before an engine that reads in batches, as it nears what it can read."""


@dataclass(frozen=True, slots=True)
class Steady:
    """What a client sees on average. All [n].

    Attributes:
        ttft_s, tpot_s: to the first token, and for each one after it.
        in_flight: requests the replica works on at once.
    """

    ttft_s: FloatArray
    tpot_s: FloatArray
    in_flight: FloatArray


def steady(
    cost: CostModel,
    layouts: Layouts,
    clients: ArrayLike,
    prompt: ArrayLike,
    output: ArrayLike,
    *,
    differ: ArrayLike = 0.2,
    speculative: ArrayLike = False,
    held: ArrayLike = 0.0,
) -> Steady:
    """One engine that reads prompts and decodes.

    Args:
        cost: prices of iterations.
        layouts: one replica each.
        clients: requests under way or waiting, over the replica.
        prompt: tokens of a request.
        output: tokens of an answer.
        differ: spread of lengths over their mean.
        speculative: whether the model drafts for itself (multi-token prediction).
        held: iterations a request is kept waiting before the engine looks at it, as its settings have it.
    """
    c, i, o, d = (np.asarray(x, dtype=np.float64) for x in (clients, prompt, output, differ))
    p, dp, waited = cost.profile, layouts.dp.astype(np.float64), np.asarray(held, dtype=np.float64)
    most = cost.max_sequences(layouts, i + o / 2)
    flying = np.where(most > 0, np.minimum(c, most), c)  # what runs does fit, whatever our count says
    gain = np.where(speculative, p.speculation, 1.0)
    of = _iterations(cost, layouts, flying, i, o, gain, waited)
    others = np.maximum(flying / dp - 1.0, 0.0)
    queue = others * of.read
    apart_by = p.settling * o * of.step
    together = queue / (queue + apart_by * d + 1e-9)
    waits = (1.0 - p.mixing) * queue / (queue + apart_by * (d + p.serial) + 1e-9)
    tpot = of.step + (1.0 - waits) * queue / o
    reading = np.clip(queue / (o * tpot), 0.0, 1.0)  # share of time in iterations that read, which are long
    met = of.step * gain + (reading + (1.0 - reading) * together) * of.long
    ttft = p.request_s + p.arrival_s * flying + of.alone + np.minimum(others, 1.0) * p.turn * met + waited * tpot * gain
    ttft = ttft + p.bunching * others * of.among * (waits + (1.0 - waits) / ROUNDS)
    ttft = ttft + (c - flying) / flying * (ttft + o * tpot)
    return Steady(ttft, tpot, flying)


@dataclass(frozen=True, slots=True)
class _Iterations:
    """What one engine's iterations cost. Seconds, all [n].

    Attributes:
        step: one that decodes, a token gained.
        alone: one that reads a single prompt. among: a prompt of one that is full of them.
        long: one that reads those that came together. read: what such a prompt costs those who decode.
    """

    step: FloatArray
    alone: FloatArray
    among: FloatArray
    long: FloatArray
    read: FloatArray


def _iterations(
    cost: CostModel, layouts: Layouts, flying: FloatArray, i: FloatArray, o: FloatArray, gain: FloatArray,
    waited: FloatArray,
) -> _Iterations:  # fmt: skip
    p, dp = cost.profile, layouts.dp.astype(np.float64)
    uneven = 1.0 + p.lockstep * (dp - 1.0)  # data ranks wait for each other's prompts
    step = cost.decode(layouts, flying, i + o / 2).seconds
    alone = cost.prefill(layouts, i).seconds
    at_once = np.clip(np.minimum(p.batched_tokens / i, flying / dp), 1.0, None)
    among = cost.prefill(layouts, i, prompts=at_once).seconds / at_once * uneven
    # Prompts that come while one is read, or while the engine does not look, are read together.
    some = np.clip(flying / dp * (alone / step + 2.0 * waited) * gain / o, 1.0, at_once)
    long = cost.prefill(layouts, i, prompts=some).seconds
    mixed = cost.mixed(layouts, i * dp * some, flying, i + o / 2).seconds
    beside = np.clip(mixed - step, 0.0, long)  # what they add to an iteration that decodes
    read = (p.mixing * beside + (1.0 - p.mixing) * long) / some * uneven
    return _Iterations(step / gain, alone, among, long, read)


@dataclass(frozen=True, slots=True)
class _Reader:
    """An engine that only reads. All [n].

    Attributes:
        most: prompts of an iteration on a data rank, at most; less than one where ranks take turns.
        each: seconds a prompt takes in a full iteration.
    """

    cost: CostModel
    layout: Layouts
    prompt: FloatArray
    most: FloatArray
    each: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "each", self.seconds(self.full) / self.full)

    @property
    def full(self) -> FloatArray:
        """Prompts of a full iteration."""
        whole: FloatArray = self.most * self.layout.dp
        return whole

    def seconds(self, k: FloatArray) -> FloatArray:
        """An iteration that reads k prompts, 1 or more: as long as the fullest data rank takes. [n]"""
        ranks = self.layout.dp.astype(np.float64)
        mean = k / ranks
        above = self.cost.profile.scattered * np.sqrt(2.0 * np.log(ranks) * mean)
        fullest = np.clip(mean + above, 1.0, np.maximum(self.most, 1.0))
        return self.cost.prefill(self.layout, self.prompt, prompts=fullest, filled=mean / fullest).seconds

    def first_wave(self, clients: FloatArray) -> FloatArray:
        """Until the mean of `clients` that come at once is read. [n]"""
        at_once = self.seconds(np.minimum(clients, self.full))
        return np.where(clients > self.full, 0.5 * (clients * self.each + at_once), at_once)

    def held(
        self, clients: FloatArray, away: FloatArray, spread: FloatArray, k: FloatArray, before: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(seconds a prompt is in the engine, prompts of its iteration), from the last estimate of both. [n] each"""
        ahead = self.cost.profile.ahead
        line = clients * self.each
        over = np.minimum(np.hypot(line, spread * away), before + away)
        rate = np.minimum(line / over, 1.0) / self.each
        k = np.clip(0.5 * (k + rate * self.seconds(k)), 1.0, self.full)
        takes = self.seconds(k)
        alone = takes * (1.0 + (0.5 + ahead) * np.minimum(rate * takes / k, 1.0))
        behind = np.maximum(clients - (1.5 + ahead) * k, 0.0) * self.each * (rate * self.each) ** CROWDING
        u = alone + behind - away
        return 0.5 * (u + np.sqrt(u * u + 4.0 * alone * away)), k


def apart(
    reader: CostModel,
    decoder: CostModel,
    reading: Layouts,
    decoding: Layouts,
    clients: ArrayLike,
    prompt: ArrayLike,
    output: ArrayLike,
    *,
    readers: ArrayLike = 1,
    decoders: ArrayLike = 1,
    places: ArrayLike = np.inf,
    reads: ArrayLike = 0.0,
    slots: ArrayLike = np.inf,
    differ: ArrayLike = 0.2,
    speculative: ArrayLike = False,
) -> Steady:
    """Some engines read prompts, others decode; requests go to engines of a kind in turn.

    An engine that reads takes what came while it read before: k = x T(k) prompts an iteration at x a second, no more
    than its data ranks hold. All ranks wait for the fullest, and experts see the mean of them. Where the router sends a
    prompt to a rank by chance, the fullest of d has k/d + sqrt(2 ln(d) k/d) (the largest of d Poisson numbers). An
    engine that puts an iteration together before the last is done (h = 1, else 0) lets a prompt wait for one more, and
    its ranks hold as many prompts to hand over as to read.

    With c clients of one reader, Z seconds of an answer and E seconds a prompt of full iterations:

        u = c E / min(sqrt((c E)^2 + (s Z)^2), R + Z)    how busy it is while they come
        R = (1 + (1/2 + h) busy) T + (c - (3/2 + h) k) E u^8 R/(R + Z)   iterations one comes upon, one's own, the line

    Requests sent together come back together: answers differ by d of the mean, so after half the rounds of a run they
    come over s Z = sqrt(rounds/2) d Z and the time in which they were read. R + Z is a circle's seconds, so the second
    line is a quadratic in R. The power is that of a line before a server of batches: it meets a simulation of the same
    rules, event by event, within 12%.

    An engine that decodes has so many places; who finds none waits until one is free.

    Args:
        reader: prices of the engines that read.
        decoder: prices of the engines that decode.
        reading: layout of one engine that reads.
        decoding: layout of one engine that decodes.
        clients: requests under way or waiting, over all engines.
        prompt: tokens of a request.
        output: tokens of an answer.
        readers: how many engines read; 0: as many as keep up with those who decode.
        decoders: how many decode.
        places: requests one of them takes at once; the next waits until one is done.
        reads: prompts a data rank reads at once; 0: as many as its engine's tokens hold.
        slots: prompts a data rank holds, read or not yet handed over.
        differ: spread of lengths over their mean.
        speculative: whether the model drafts for itself.
    """
    c, i, o, many, d = (np.asarray(x, dtype=np.float64) for x in (clients, prompt, output, decoders, differ))
    p, stated, allowed = reader.profile, np.asarray(readers, dtype=np.float64), np.asarray(reads, dtype=np.float64)
    taken = np.asarray(slots, dtype=np.float64) / (1.0 + p.ahead)
    n = np.maximum(np.where(allowed > 0, allowed, p.batched_tokens / i), 1.0)
    engine = _Reader(reader, reading, i, np.minimum(n, np.where(reading.dp > 1, taken, np.maximum(taken, 1.0))))
    most = decoder.max_sequences(decoding, i + o / 2)
    room = np.minimum(np.asarray(places, dtype=np.float64), np.where(most > 0, most, np.inf))
    gain = np.where(speculative, p.speculation, 1.0)
    step = decoder.decode(decoding, np.maximum(c / many, 1.0), i + o / 2).seconds / gain
    own = c / np.where(stated > 0, stated, np.ceil(c * engine.each / (o * step)))
    spread = np.sqrt(ROUNDS / 2.0) * d / (1.0 - d / 2.0)
    k, queued = np.ones_like(own * step), np.zeros_like(step)
    held = engine.seconds(k)
    for _ in range(PASSES):  # who waits to be read, or for a place, does not decode
        away = o * step + queued
        held, k = engine.held(own, away, spread, k, held)
        found = c / many * away / (away + held)  # those read, at one engine that decodes
        busy = np.minimum(found, room)
        step = decoder.decode(decoding, np.maximum(busy, 1.0), i + o / 2).seconds / gain
        queued = (found / busy - 1.0) * o * step
    late = (engine.first_wave(own) - held).clip(0.0) / ROUNDS
    ttft = p.request_s + p.handover_s + held + late + step + queued
    return Steady(ttft, step, np.maximum(busy * many, 1.0))
