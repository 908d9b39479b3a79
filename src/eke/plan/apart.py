"""Prompts read by some replicas and answers written by others, in the same pool or in two: recipes of both roles.

Like a kitchen and a bar: each can be where its tools are good, as long as the way between them is short enough.

A reader is a queue of prompts (M/G/1, as in `capacity`), nothing written beside: at τ = k t(0, C)/C seconds a token the
share of prompts that wait longer than TTFT - (τ + κ) P - TPOT is at most 1 - q, where κ is the time of a token's cache
over the link; the last term is the first iteration of the writer; `capacity.CALM` of that rate
is promised. A writer holds b requests in the mean and has
`capacity.places` for more: t(b, 0) + β ≤ TPOT, β as in `capacity`, and λ = b / (E[O] t(b, 0)).
Neither sends or takes more bytes than its chips' links carry. A reader works for the writers of
one pool.

Of two pools p, d with m_p, m_d requests/s a chip undivided, and r_p, w_d a chip of readers and writers, whatever their
chips are worth: dividing pays only if m_p/r_p + m_d/w_d < 1 (it costs a/r_p + b/w_d against min(a/m_p, b/m_d)). Other
pairs are left out. It knows lengths and links; no demand and no pool's size.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import ceil
from typing import Literal

import numpy as np

from eke.cost import CostModel, FloatArray, Layouts
from eke.fleet.pool import Fleet
from eke.models.architecture import Architecture
from eke.plan import capacity, layouts, serving
from eke.plan.branches import Ways
from eke.plan.recipes import Place, Recipe, link, undominated
from eke.plan.scenario import Serve
from eke.plan.serving import Candidate
from eke.plan.solve import Outcome

PAYS = 0.85
"""m_p/r_p + m_d/w_d must be below this: what is gained is worth two kinds of replica and a hand-over."""
PAIRS = 3
"""Pairs of pools kept for each workload and model: those that pay most."""
CHUNK = 4096.0
"""Tokens a reader takes at a time."""
STEPS = 9
"""Bisections of a reader's load: to 0.2% of its time."""
HELD, POINTS = (0.25, 4096.0), 12
"""Requests a writer may hold, and how many are tried between: twice, so that at most 7% are left out."""
WORTH = 3e-3
"""Divided service must bring this share of the objective in the relaxation, or the plan does without."""

Key = tuple[str, str, str]
"""Workload, model, variant."""


Half = tuple[dict[Key, list[Recipe]], dict[tuple[Key, float], list[Recipe]]]
"""Writers; readers, by the bytes/s a chip of the link to who writes for them."""


def recipes(
    workloads: Sequence[Serve], fleet: Fleet, places: Sequence[Place], mixed: Sequence[Recipe],
    without: frozenset[str] = frozenset(), seen: serving.Seen | None = None,
) -> list[Recipe]:  # fmt: skip
    """Readers and writers of the workloads, of those pairs of pools where dividing may pay.

    Args:
        workloads: what is to be answered.
        fleet: pools and links.
        places: kinds of place, and the pools of each.
        mixed: recipes that do both.
        without: optimisations that may not be used.
        seen: answers found before are taken from here, and put here.
    """
    seen = {} if seen is None else seen
    links = {(a.name, b.name): link(fleet, a.name, b.name) for a in fleet.pools for b in fleet.pools}
    forms = {(r.workload, r.model, r.variant) for r in mixed}
    every: list[tuple[tuple[str, ...], Hashable]] = []
    asking: dict[Architecture, dict[Hashable, tuple[Candidate, list[float]]]] = defaultdict(dict)
    for site, pools in places:
        if not site.units or site.chip.kind == "cpu":
            continue
        speeds = sorted({speed for (a, _), speed in links.items() if a in pools})
        here = [w for w in workloads if w.pools is None or set(pools) & set(w.pools)]
        for one in _apt(serving.candidates(site, here, without), forms):
            loads = tuple((_key(one, k), of.key) for k, of in enumerate(one.loads))
            half = ("apart", *serving.place(site, one.architecture, one.name, one.table, without), loads, tuple(speeds))
            every.append((pools, half))
            if half not in seen:
                asking[one.architecture][half] = one, speeds

    def halves(architecture: Architecture) -> dict[Hashable, Half]:
        return dict(zip(asking[architecture], _halves(list(asking[architecture].values())), strict=True))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for found in threads.map(halves, asking):
            seen |= found
    writers: dict[tuple[Key, str], list[Recipe]] = {}
    readers: dict[tuple[Key, str, float], list[Recipe]] = {}
    for pools, asked in every:
        written, read = seen[asked]
        for pool in pools:
            writers |= {(key, pool): some for key, some in written.items()}
            readers |= {(key, pool, speed): some for (key, speed), some in read.items()}
    alone: dict[tuple[str, str, str], float] = defaultdict(float)
    for r in mixed:
        if r.holds:
            at = (r.workload, r.model, r.pool)
            alone[at] = max(alone[at], r.rate / r.units)
    return [r for w in workloads for r in _worthwhile(w, links, writers, readers, alone)]


def _apt(every: Iterable[Candidate], forms: Collection[Key]) -> Iterator[Candidate]:
    """Of candidates what may be divided: of all variants those that some chip serves best in (`forms`), without
    pipelines.
    """
    for one in every:
        kept = [k for k in range(len(one.asked)) if not forms or _key(one, k) in forms]
        rows = np.flatnonzero(one.table.pp == 1)
        if kept and len(rows):
            asked, loads = [one.asked[k] for k in kept], [one.loads[k] for k in kept]
            yield replace(one, asked=asked, loads=loads, table=layouts.take(one.table, rows))


def _key(one: Candidate, k: int) -> Key:
    """Of the k-th workload that a candidate is asked about."""
    workload, answerer = one.asked[k]
    return workload.name, answerer.model, one.name


def _halves(every: Sequence[tuple[Candidate, Sequence[float]]]) -> list[Half]:
    """Writers, and readers by the bytes/s a chip of the links to them, of candidates of one architecture."""
    rows = capacity.rows([capacity.Asked(one.cost, one.table, one.loads) for one, _ in every])
    cache = np.concatenate([
        np.repeat(_cache_bytes(one.cost, [of.read.mean for of in one.loads]), len(one.table)) for one, _ in every
    ])  # fmt: skip
    carried = rows.layouts.chips / cache  # by a link of a byte/s
    write, room, tpot = _write(rows)
    tau = rows.lanes * rows.seconds(CHUNK, np.zeros((len(cache), 1)))[:, 0] / CHUNK
    speeds = {speed for _, mine in every for speed in mine}
    read = {speed: np.minimum(_read(rows, tau, cache / rows.read / speed), carried * speed) for speed in speeds}
    found: list[Half] = []
    first = 0
    for one, linked in every:
        half: Half = ({}, {})
        for k, of in enumerate(one.loads):
            at, key = slice(first, first + len(one.table)), _key(one, k)
            rate = np.minimum(write[at], carried[at] * max(linked))
            half[0][key] = _recipes(one, k, rate, part="decode", batch=room[at], context=of.context, tpot=tpot[at])
            for speed in linked:
                half[1][key, speed] = _recipes(
                    one, k, read[speed][at], part="prefill", batch=rows.lanes[at], context=of.longest, chunk=CHUNK,
                    handover=float(cache[first]),
                )  # fmt: skip
            first += len(one.table)
        found.append(half)
    return found


def _cache_bytes(cost: CostModel, tokens: Sequence[float]) -> FloatArray:
    """Bytes of the whole cache of prompts. [n]"""
    return cost.serving_memory(Layouts.of([1] * len(tokens)), 1, tokens).kv


def _write(of: capacity.Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Requests/s of writers under TPOT, how many they hold, and the TPOT they reach. [n] each"""
    b = np.full(len(of.read), HELD[0])
    z, every = of.z[:, None], np.arange(len(of.read))
    step = (HELD[1] / HELD[0]) ** (1 / POINTS)
    for _ in range(2):
        tried = b[:, None] * step ** np.arange(POINTS + 1)  # [n, POINTS + 1]
        both = np.concatenate([tried, tried + z * np.sqrt(tried)], axis=1)
        both = of.seconds(0.0, both)
        t, fuller = both[:, : POINTS + 1], both[:, POINTS + 1 :] - both[:, : POINTS + 1]
        tpot = t + fuller / np.sqrt(1 - capacity.steepness(tried, fuller, t, z))
        bears = (capacity.places(tried, z) <= of.room[:, None]) & (tpot <= of.tpot_s[:, None])
        last = np.maximum(np.cumprod(bears, axis=1).sum(axis=1) - 1, 0)
        b, step = tried[every, last], step ** (1 / POINTS)
    rate = np.where(bears[:, 0], b / (of.written * t[every, last]), 0.0)
    return rate, capacity.places(b, of.z), tpot[every, last]


def _read(of: capacity.Rows, tau: FloatArray, handing: FloatArray) -> FloatArray:
    """Prompts/s of readers under TTFT, at `tau` seconds a token read and `handing` a token's cache handed over. [n]"""
    samples = of.samples * (1 + handing / tau)[:, None]
    low, high = np.zeros(len(tau)), np.full(len(tau), capacity.BUSY)
    for _ in range(STEPS):
        busy = (low + high) / 2
        late = capacity.late_share(of.read, of.squared, samples, busy / (of.read * tau), tau, of.tpot_s, of.ttft_s)
        low, high = np.where(late <= of.late, busy, low), np.where(late <= of.late, high, busy)
    return np.where(of.room >= 1, capacity.CALM * of.lanes * low / (of.read * tau), 0.0)


def _recipes(
    one: Candidate, k: int, rate: FloatArray, *, part: Literal["prefill", "decode"], batch: FloatArray, context: float,
    tpot: FloatArray | None = None, chunk: float = 0.0, handover: float = 0.0,
) -> list[Recipe]:  # fmt: skip
    """Recipes of one role for the k-th workload asked about that no other replaces; `pool` is left open."""
    (workload, answerer), table, longest = one.asked[k], one.table, one.loads[k].longest
    assert isinstance(workload, Serve)
    quality = None if one.variant.quality is None else one.variant.quality.value * answerer.quality
    each = rate / table.chips
    starts, found = one.start_s, []
    for i in np.flatnonzero(each > serving.POOR * each.max()).tolist():
        tp, pp, dp, ep = (int(column[i]) for column in (table.tp, table.pp, table.dp, table.ep))
        most = max(1, int(batch[i]))
        held = ceil(max(longest, most * context) / serving.CONTEXT_STEP) * serving.CONTEXT_STEP
        found.append(
            Recipe(
                workload.name, "serve", "", answerer.model, one.name, one.engine, tp, pp, dp, ep,
                units=tp * pp * dp, rate=float(rate[i]), basis=one.cost.basis, quality=quality, max_batch=most,
                chunk=int(chunk), context=held, ttft_s=workload.slo.ttft_s if part == "prefill" else 0.0,
                tpot_s=0.0 if tpot is None else float(tpot[i]), part=part, handover_bytes=handover,
                start_s=float(starts[i]),
            )
        )  # fmt: skip
    return undominated(found, by_quality=False)


def _worthwhile(
    w: Serve, links: dict[tuple[str, str], float], writers: dict[tuple[Key, str], list[Recipe]],
    readers: dict[tuple[Key, str, float], list[Recipe]], alone: dict[tuple[str, str, str], float],
) -> list[Recipe]:  # fmt: skip
    """Readers and writers of one workload, of the pairs of pools that pay most."""
    best: dict[tuple[str, str, str], tuple[float, str]] = {}
    for (key, there), write in writers.items():
        if key[0] != w.name or not write or (w.pools is not None and there not in w.pools):
            continue
        for (a, b), speed in links.items():
            read = readers.get((key, a, speed)) if b == there and (w.pools is None or a in w.pools) else None
            if not read:
                continue
            shares = [
                alone[w.name, key[1], pool] / max(r.rate / r.units for r in half)
                for pool, half in ((a, read), (there, write))
            ]
            pair = (key[1], a, there)
            best[pair] = min(best.get(pair, (np.inf, "")), (sum(shares), key[2]))
    found: dict[tuple[object, ...], Recipe] = {}
    for model in sorted({pair[0] for pair in best}):
        paying = sorted((score, pair, variant) for pair, (score, variant) in best.items() if pair[0] == model)
        for _, (_, a, b), variant in [one for one in paying if one[0] < PAYS][:PAIRS]:
            key = (w.name, model, variant)
            both = [replace(r, pool=a, to=b) for r in readers[key, a, links[a, b]]]
            both += [replace(r, pool=b) for r in writers[key, b]]
            found |= {(r.pool, r.to, r.variant, r.model, r.part, r.tp, r.pp, r.dp, r.ep): r for r in both}
    return list(found.values())


def pays(whole: Ways, divided: Ways) -> bool:
    """Whether dividing brings `WORTH` of the objective, or is the only way to keep promises.

    A relaxation that mixes ways to train hides what dividing brings: where it is not clear already, each is asked in
    its best way.
    """
    alone = whole.best()
    least = alone + WORTH * abs(alone) if np.isfinite(alone) else alone
    return divided.reach > least and divided.best() > least


def bound(outcome: Outcome, divided: Ways, seconds: float, gap: float) -> float:
    """What no plan passes, whether it divides or not, where `outcome` is the best that does not: with gangs in whole
    where the relaxation leaves more than `gap`.
    """
    passed = divided.reach
    if passed > outcome.bound and passed - outcome.value > gap * abs(outcome.value):
        passed = divided.optimise(seconds=seconds, gap=gap, beat=max(outcome.value, outcome.bound)).bound
    return max(outcome.bound, passed)
