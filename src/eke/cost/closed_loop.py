"""A replica under a fixed number of clients, each sending its next request when the last one is answered.

That is how published serving runs are measured, and how a queue behind a full engine behaves. Like a barber's shop with
a fixed circle of customers: how long one waits follows from how many there are, how long a cut takes and how long hair
grows. Prices of iterations come from the cost model; here is only who waits for whom. Knows no arrival process.

C clients, B of them in flight (the rest wait for room in the cache), b = B/dp on a data rank; prompts of i tokens,
answers of o in n iterations, lengths that differ by d of their mean:

    Q = (b - 1) r                        reading everybody else's prompt once; r: what one costs those who decode
    a = W / (W + sqrt(rounds/2) d n)     share of the others who come when one comes
    L(N) = T(1) + (N-1)/N (1 + (N-1)/k) T(k)/2   until the mean of N prompts that come together is read, T(k) for k
    read = (L(b) + (rounds - 1) R) / rounds      R = L(1 + (b-1) a), or T(1) where prompts go beside those who decode
    tpot = step + (Q - what of `read` was others') / o
    met = beat + (q + (1 - q) a) S, or beat + Q/n   the iteration one comes upon: q = Q/(o tpot) of time is long, by S
    ttft = request + arrival B + text i (1 + (B-1)/(2 rounds)) + read + turn met + held iterations
    ttft + (C - B)/B (ttft + o tpot)     who waits for room, if B < C

All come at once in the first round. Requests of like length that are read before the others go on are done in one
iteration and come back as one; lengths that differ spread them over d n iterations, over sqrt(rounds/2) times as many
in the mean round, and only those of one iteration meet, or of W if the engine looks for requests that seldom. An idle
engine begins with the first of them, and reads the rest in iterations as full as can be. Everybody's prompt is read
once a round: what is read before one's own first token does not interrupt one later.

Where prompts stop those who decode, answers end only between two prompts, so one comes upon what ended just before;
where both go together they end in long iterations as in short ones.
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
    drafted: ArrayLike = 0,
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
        drafted: tokens the model drafts for itself in an iteration (multi-token prediction); 0: none.
        held: iterations a request is kept waiting before the engine looks at it, as its settings have it.
    """
    c, i, o, d = (np.asarray(x, dtype=np.float64) for x in (clients, prompt, output, differ))
    p, dp, waited = cost.profile, layouts.dp.astype(np.float64), np.asarray(held, dtype=np.float64)
    most = cost.max_sequences(layouts, i + o / 2)
    flying = np.where(most > 0, np.minimum(c, most), c)  # what runs does fit, whatever our count says
    lanes = dp * layouts.pp
    others = np.maximum(flying / lanes - 1.0, 0.0)
    drafts = np.asarray(drafted, dtype=np.float64)
    beat, step = _beat(cost, layouts, flying, i + o / 2, drafts)
    n, window = o * step / beat, 1.0 + 2.0 * waited
    alike = window / (window + np.sqrt(ROUNDS / 2.0) * d * n)
    of = _iterations(cost, layouts, flying, i, o, drafts, waited, beat, step, others * alike)
    (first, theirs_first), (again, theirs) = of.line(1.0 + others), of.line(1.0 + others * alike)
    again, theirs = p.mixing * of.alone + (1.0 - p.mixing) * again, (1.0 - p.mixing) * theirs
    queue = others * of.read
    tpot = step + np.maximum(queue - _mean(theirs_first, theirs), 0.0) / o
    reading = np.clip(queue / (o * tpot), 0.0, 1.0)
    beside = (reading + (1.0 - reading) * alike) * of.long
    met = beat + p.mixing * beside + (1.0 - p.mixing) * queue / n
    text = i * p.token_s * (1.0 + 0.5 * (flying - 1.0) / ROUNDS)  # one by one, when all come at once
    ttft = p.request_s + p.arrival_s * flying + text + _mean(first, again)
    ttft = ttft + np.minimum(others, 1.0) * p.turn * met + waited * tpot * beat / step
    ttft = ttft + (c - flying) / flying * (ttft + o * tpot)
    return Steady(ttft, tpot, flying)


def _mean(first: FloatArray, later: FloatArray) -> FloatArray:
    """Of all rounds."""
    return (first + (ROUNDS - 1.0) * later) / ROUNDS


@dataclass(frozen=True, slots=True)
class _Iterations:
    """What one engine's iterations cost. Seconds, all [n].

    Attributes:
        alone: one that reads a single prompt. long: one that reads those that came together.
        read: what such a prompt costs those who decode.
        most: prompts of an iteration on a data rank, at most.
        uneven: how much longer others' prompts take because data ranks wait for each other's.
    """

    cost: CostModel
    layouts: Layouts
    prompt: FloatArray
    alone: FloatArray
    long: FloatArray
    read: FloatArray
    most: FloatArray
    uneven: FloatArray

    def line(self, n: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(until the mean of `n` prompts that come together is read, what of it goes to others')."""
        rest = n - 1.0
        k = np.clip(np.minimum(self.most, rest), 1.0, None)
        takes = self.cost.prefill(self.layouts, self.prompt, prompts=k).seconds * np.where(n > 1.0, self.uneven, 1.0)
        until = self.alone + rest / n * 0.5 * (1.0 + rest / k) * takes
        return until, until - (self.alone + rest * takes / k) / n


def _iterations(
    cost: CostModel, layouts: Layouts, flying: FloatArray, i: FloatArray, o: FloatArray, drafted: FloatArray,
    waited: FloatArray, beat: FloatArray, step: FloatArray, beside_one: FloatArray,
) -> _Iterations:  # fmt: skip
    p, dp = cost.profile, layouts.dp.astype(np.float64)
    lanes = dp * layouts.pp
    uneven = 1.0 + p.lockstep * (dp - 1.0)  # data ranks wait for each other's prompts
    alone = cost.prefill(layouts, i).seconds
    at_once = np.clip(np.minimum(p.batched_tokens / i, flying / lanes), 1.0, None)
    # Together are read: prompts that come while one is read, or while the engine does not look; where prompts stop the
    # rest, those whose answers end together.
    while_read = flying / lanes * (alone / beat + 2.0 * waited) * (beat / step) / o
    some = np.clip(p.mixing * while_read + (1.0 - p.mixing) * (1.0 + beside_one), 1.0, at_once)
    long = cost.prefill(layouts, i, prompts=some).seconds
    mixed = cost.mixed(layouts, i * lanes * some, flying, i + o / 2, 1.0 + drafted).seconds
    beside = np.clip(mixed - beat, 0.0, long)  # what they add to an iteration that decodes
    read = (p.mixing * beside + (1.0 - p.mixing) * long) / some * uneven
    return _Iterations(cost, layouts, i, alone, long, read, at_once, uneven)


def _beat(
    cost: CostModel, layouts: Layouts, sequences: FloatArray, context: FloatArray, drafted: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Seconds of an iteration that decodes, and for each token gained. [n]

    Of k drafted tokens each is kept with probability p if those before it are: 1 + p + ... + p^k an iteration.
    """
    p, tokens = cost.profile.speculation, 1.0 + drafted
    beat = cost.decode(layouts, sequences, context, tokens).seconds
    return beat, beat / (tokens if p == 1.0 else (1.0 - p**tokens) / (1.0 - p))


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
    drafted: ArrayLike = 0,
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
        drafted: tokens the model drafts for itself in an iteration; 0: none.
    """
    c, i, o, many, d = (np.asarray(x, dtype=np.float64) for x in (clients, prompt, output, decoders, differ))
    p, stated, allowed = reader.profile, np.asarray(readers, dtype=np.float64), np.asarray(reads, dtype=np.float64)
    taken = np.asarray(slots, dtype=np.float64) / (1.0 + p.ahead)
    n = np.maximum(np.where(allowed > 0, allowed, p.batched_tokens / i), 1.0)
    engine = _Reader(reader, reading, i, np.minimum(n, np.where(reading.dp > 1, taken, np.maximum(taken, 1.0))))
    most = decoder.max_sequences(decoding, i + o / 2)
    room = np.minimum(np.asarray(places, dtype=np.float64), np.where(most > 0, most, np.inf))
    drafts = np.asarray(drafted, dtype=np.float64)
    _, step = _beat(decoder, decoding, np.maximum(c / many, 1.0), i + o / 2, drafts)
    own = c / np.where(stated > 0, stated, np.ceil(c * engine.each / (o * step)))
    spread = np.sqrt(ROUNDS / 2.0) * d / (1.0 - d / 2.0)
    k, queued = np.ones_like(own * step), np.zeros_like(step)
    held = engine.seconds(k)
    for _ in range(PASSES):  # who waits to be read, or for a place, does not decode
        away = o * step + queued
        held, k = engine.held(own, away, spread, k, held)
        found = c / many * away / (away + held)  # those read, at one engine that decodes
        busy = np.minimum(found, room)
        _, step = _beat(decoder, decoding, np.maximum(busy, 1.0), i + o / 2, drafts)
        queued = (found / busy - 1.0) * o * step
    late = (engine.first_wave(own) - held).clip(0.0) / ROUNDS
    ttft = p.request_s + i * p.token_s + p.handover_s + held + late + step + queued
    return Steady(ttft, step, np.maximum(busy * many, 1.0))
