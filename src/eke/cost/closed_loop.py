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
    met = step + (q + (1 - q) v) S       the iteration one comes upon: q = Q/(o tpot) of time is in long ones, S
    ttft = request + arrival B + prefill + turn met + held tpot + k (w + (1 - w)/rounds) Q'
    ttft + (C - B)/B (ttft + o tpot)     who waits for room, if B < C

Requests of like length, sent together, are done together and come back together: while those before them are read (v),
or they stand in line to be read (w). Lengths that differ take them apart, the more the longer they decode; then prompts
come singly and interrupt those who decode; those that come while one is read are read together. Q' is Q with prompts
read together, as a line is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eke.cost.tables import FloatArray, Layouts

if TYPE_CHECKING:
    from eke.cost.model import CostModel

ROUNDS = 10.0
"""Requests a client sends in a published run: the first of them all come at once."""


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
    ttft = p.request_s + p.arrival_s * flying + of.alone + p.turn * met + waited * tpot * gain
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
    speculative: ArrayLike = False,
) -> Steady:
    """Some engines read prompts, others decode: a closed network of one queue and one delay.

    With m prompts read at once in S seconds each, and Z seconds of decoding, mean-value analysis (Reiser and Lavenberg
    1980, with Schweitzer's estimate of what an arriving request finds) gives the time R to read, line included:
    R = S + L R/(R + Z) with L = (C/m - 1) S', S' the seconds of a prompt among others; so R = (u + sqrt(u^2 + 4 S Z))/2
    with u = S + L - Z.

    Engines that decode have so many places. Which one a request comes to is chance: a normal number with the binomial's
    variance comes to each, and the share of them above its places is the share of an answer's time that they wait.

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
        speculative: whether the model drafts for itself.
    """
    c, i, o, many = (np.asarray(x, dtype=np.float64) for x in (clients, prompt, output, decoders))
    p = reader.profile
    stated, ranks = np.asarray(readers, dtype=np.float64), reading.dp.astype(np.float64)
    most = decoder.max_sequences(decoding, i + o / 2)
    room = np.minimum(np.asarray(places, dtype=np.float64), np.where(most > 0, most, np.inf))
    allowed = np.asarray(reads, dtype=np.float64)
    allowed = np.where(allowed > 0, allowed, p.batched_tokens / i)
    at_once = np.clip(np.minimum(allowed, c / (np.maximum(stated, 1.0) * ranks)), 1.0, None)
    alone = reader.prefill(reading, i).seconds
    each = reader.prefill(reading, i, prompts=at_once).seconds / at_once  # a prompt read together with others
    gain = np.where(speculative, p.speculation, 1.0)
    step = decoder.decode(decoding, np.maximum(c / many, 1.0), i + o / 2).seconds / gain
    keeping_up = np.ceil(c * each / (ranks * o * step))
    served = np.where(stated > 0, stated, keeping_up) * ranks
    line = np.maximum(c / served - 1.0, 0.0) * each
    held, queued = alone, np.zeros_like(alone)
    for _ in range(4):  # who waits to be read, or for a place, does not decode
        away = o * step + queued
        u = alone + line - away
        held = 0.5 * (u + np.sqrt(u * u + 4.0 * alone * away))
        found = c / many * away / (away + held)  # those read, at one engine that decodes
        busy = np.maximum(found - _excess(found, np.sqrt(found * (1.0 - 1.0 / many)), room), 1e-9)
        step = decoder.decode(decoding, np.maximum(busy, 1.0), i + o / 2).seconds / gain
        queued = (found / busy - 1.0) * o * step
    first = alone + line / 2.0
    ttft = p.request_s + p.handover_s + held + (first - held).clip(0.0) / ROUNDS + step + queued
    return Steady(ttft, step, np.maximum(busy * many, 1.0))


def _excess(mean: FloatArray, spread: FloatArray, room: FloatArray) -> FloatArray:
    """How many of those that come to one engine at random find no place: E[(n - room)+] of a normal n. [n]"""
    some = np.maximum(spread, 1e-9)
    z = (mean - np.minimum(room, mean + 9.0 * some)) / some
    bell = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    below = 0.5 * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3)))  # the normal distribution, to 0.0003
    found: FloatArray = some * (bell + z * below)
    return np.clip(found, 0.0, mean)
