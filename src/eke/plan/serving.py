"""Recipes of serve and batch workloads: models and variants that may answer, laid out over each kind of place.

It asks the cost model through `capacity`; it knows no pool's size beyond what fits, and no demand beyond its lengths.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from eke.cost import CostModel, FloatArray, IntArray, Layouts
from eke.errors import UnknownName
from eke.figures import Precision
from eke.models.architecture import Architecture
from eke.models.variant import Variant, variants
from eke.plan import capacity as dynamics
from eke.plan import layouts
from eke.plan.pins import Form
from eke.plan.recipes import Recipe, Site, starting, undominated
from eke.plan.scenario import Batch, Serve

SIXTEEN: tuple[Precision, ...] = ("bf16", "fp16", "fp32")
"""What a chip may compute 16-bit weights in, best first."""
LLAMACPP_CHUNKS = (512.0,)
POOR = 0.4
"""Recipes below this share of the best rate a chip (same workload, place and model) are not worth their simplicity."""
REPRICED = frozenset({"chunked-prefill", "prefix-caching", "expert-parallelism"})
"""Optimisations without which the cost model is asked something else."""
CONTEXT_STEP = 256
"""Cache is given in whole steps of so many tokens."""


_variants = cache(variants)


class Answerer(NamedTuple):
    """A model that may answer a workload. `share`: at most; `quality`: of the demanded model's score."""

    model: str
    architecture: Architecture
    quality: float
    share: float


def answerers(workload: Serve | Batch) -> list[Answerer]:
    """The demanded model, and the smaller ones that may take a share."""
    first = Answerer(workload.model, workload.architecture, 1.0, 1.0)
    others = workload.alternatives if isinstance(workload, Serve) else ()
    return [first, *(Answerer(a.model, a.architecture, a.quality, a.share) for a in others)]


def allowed(
    workload: Serve | Batch, architecture: Architecture, without: frozenset[str] = frozenset()
) -> dict[str, Variant]:
    """Variants the workload may use: those it names, else all whose published quality meets its floor; of these the
    ones not in `without`, or 16 bits if that leaves none.

    Raises:
        UnknownName: a variant the model does not have.
    """
    known = _variants(architecture)
    for name in workload.variants or ():
        if name not in known:
            raise UnknownName(f"variant of {architecture.name}", name, known)
    named = bool(workload.variants)  # who names a variant answers for its quality where nobody published it
    good = {
        n: known[n]
        for n in workload.variants or known
        if (named if (q := known[n].quality) is None else q.value >= workload.min_quality)
    }
    plain = {n: v for n, v in known.items() if n == "bf16"}
    return {n: v for n, v in good.items() if n not in without} or (plain if without else {}) or good


def runs(variant: Variant, site: Site) -> bool:
    """Whether the chip computes in the variant's precision (16-bit ones stand in for each other)."""
    flops = site.chip.flops
    if site.chip.kind == "cpu":
        return True
    return variant.compute in flops or (variant.compute in SIXTEEN and any(p in flops for p in SIXTEEN))


def _distinct(choice: dict[str, Variant], site: Site) -> dict[str, Variant]:
    """Without the 16-bit form that would run here as the other one does."""
    if not {"bf16", "fp16"} <= choice.keys():
        return choice
    spare = "fp16" if "bf16" in site.chip.flops or site.chip.kind == "cpu" else "bf16"
    return {n: v for n, v in choice.items() if n != spare}


def choices(
    workload: Serve | Batch, architecture: Architecture, site: Site, without: frozenset[str]
) -> dict[str, Variant]:
    """Variants the workload may use that the site's chip runs."""
    may = _distinct(allowed(workload, architecture, without), site)
    return {name: variant for name, variant in may.items() if runs(variant, site)}


Seen = dict[Hashable, Any]
"""What the cost model said before, by what it was asked."""


def place(
    site: Site, architecture: Architecture, name: str, table: Layouts, without: frozenset[str]
) -> tuple[Hashable, ...]:
    """What `Seen` knows a form of a model at a site by: a pool's size counts no further than the layouts it has room
    for.
    """
    rows = tuple(column.tobytes() for column in (table.tp, table.pp, table.ep, table.dp))
    return (architecture, name, repr(replace(site, units=0)), rows, without & REPRICED)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model in one variant at a site, and the workloads it may answer there.

    Attributes:
        asked: workloads, and the model as their answerer; `loads` in the same order. name: of the variant.
    """

    site: Site
    asked: Sequence[tuple[Serve | Batch, Answerer]]
    name: str
    variant: Variant
    table: Layouts
    cost: CostModel
    loads: Sequence[dynamics.Load]

    @property
    def engine(self) -> str:
        """Family of engine that runs it."""
        return self.site.engine(training=False)

    @property
    def architecture(self) -> Architecture:
        """Of the model."""
        return self.asked[0][1].architecture

    @property
    def start_s(self) -> FloatArray:
        """Seconds until a replica of each layout that starts answers."""
        return starting(self.architecture, self.variant, self.table.chips, self.site.storage)


def candidates(
    site: Site, workloads: Sequence[Serve | Batch], without: frozenset[str] = frozenset(), table: Layouts | None = None
) -> Iterator[Candidate]:
    """Models and variants that may answer the workloads at a site, in every layout or those of `table`."""
    asking: dict[tuple[Architecture, str], list[tuple[Serve | Batch, Answerer]]] = {}
    for workload in workloads:
        for answerer in answerers(workload):
            for name in choices(workload, answerer.architecture, site, without):
                asking.setdefault((answerer.architecture, name), []).append((workload, answerer))
    profile = site.profile(training=False) if asking else None
    for (architecture, name), asked in asking.items():
        rows = layouts.serving(architecture, site) if table is None else table
        if "expert-parallelism" in without:
            rows = layouts.take(rows, np.flatnonzero(rows.ep == 1))
        if len(rows):
            variant = _variants(architecture)[name]
            cost = site.cost(architecture, variant, training=False, profile=profile)
            loads = [load(workload, architecture, without) for workload, _ in asked]
            yield Candidate(site, asked, name, variant, rows, cost, loads)


def recipes(
    asked: Sequence[tuple[Site, Sequence[Serve | Batch]]], *, late: bool = False,
    without: frozenset[str] = frozenset(), seen: Seen | None = None,
) -> list[list[Recipe]]:  # fmt: skip
    """Every recipe of workloads at a site that no other there replaces, site by site; `pool` is left open.

    Args:
        asked: sites, and what is to be answered at each.
        late: recipes that break the latency promise, instead of those that keep it.
        without: optimisations that may not be used.
        seen: answers of the cost model are taken from here, and put here.
    """
    every = [(i, one) for i, (site, workloads) in enumerate(asked) for one in candidates(site, workloads, without)]
    priced = _priced([one for _, one in every], late, without, {} if seen is None else seen)
    found: dict[tuple[int, str], list[Recipe]] = defaultdict(list)
    for (i, one), capacities in zip(every, priced, strict=True):
        for r in _recipes(one, capacities, without):
            found[i, r.workload].append(r)
    return [
        [r for w in workloads for r in _filtered(found[i, w.name], w.min_quality, _enough(w))]
        for i, (_, workloads) in enumerate(asked)
    ]


def formed(workload: Serve | Batch, site: Site, form: Form) -> list[Recipe]:
    """The one recipe of that form at a site; none where it breaks the latency promise or does not fit."""
    tp, pp, dp, ep = form.shape
    mine = [
        one
        for one in candidates(site, [workload], table=layouts.table([(tp, pp, ep, dp)]))
        if (one.asked[0][1].model, one.name) == (form.model, form.variant)
    ]
    found = zip(mine, _priced(mine, False, frozenset(), {}), strict=True)
    return [r for one, capacities in found for r in _recipes(one, capacities, frozenset()) if r.holds]


def _enough(workload: Serve | Batch) -> float:
    return max(workload.traffic.rates) if isinstance(workload, Serve) else workload.requests_per_s


def _filtered(found: Sequence[Recipe], floor: float, enough: float) -> list[Recipe]:
    """Undominated recipes; ones that break the promise only where none keeps it.

    Models are told apart; precisions only where some answer alone is below the quality floor, so that the mix matters.
    """
    holding = [r for r in found if r.holds] or list(found)
    mixed = any(r.quality is not None and r.quality < floor for r in holding)
    models = dict.fromkeys(r.model for r in holding)
    return [
        r
        for m in models
        for r in undominated(_worthwhile([r for r in holding if r.model == m], enough), by_quality=mixed)
    ]


def _worthwhile(found: list[Recipe], enough: float) -> list[Recipe]:
    """Without recipes that give far less a chip than the best one, unless a single replica answers everything
    (`enough`).
    """
    best = max(r.rate / r.units for r in found)
    least = min(r.units for r in found)  # where no promise can be kept, the smallest stays: others want the chips too
    return [
        r for r in found
        if r.rate >= enough or r.rate / r.units >= POOR * best or (r.units == least and not r.holds)
    ]  # fmt: skip


def _priced(
    every: Sequence[Candidate], late: bool, without: frozenset[str], seen: Seen
) -> list[list[dynamics.Capacity]]:  # fmt: skip
    """For each candidate what it can do of each of its loads. One architecture is asked about at once, whatever the
    site and the variant.
    """
    keys: list[tuple[Hashable, ...]] = []
    asking: dict[tuple[Architecture, bool, tuple[float, ...]], list[tuple[Hashable, dynamics.Asked]]] = defaultdict(
        list
    )
    for one in every:
        cpu = one.site.chip.kind == "cpu"
        chunks = LLAMACPP_CHUNKS if cpu else dynamics.CHUNKS
        if "chunked-prefill" in without:  # a prompt is read whole
            chunks = (max(of.longest for of in one.loads),)
        at = (*place(one.site, one.architecture, one.name, one.table, without), one.cost.interval, late, chunks)
        new = {of.key: of for of in one.loads if (at, of.key) not in seen}
        keys.append(at)
        if new:
            asking[one.architecture, cpu, chunks].append((at, dynamics.Asked(one.cost, one.table, list(new.values()))))

    def ask(group: tuple[Architecture, bool, tuple[float, ...]]) -> list[list[dynamics.Capacity]]:
        return dynamics.capacities([asked for _, asked in asking[group]], group[2], late=late)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:  # array work: it runs side by side
        for group, answers in zip(asking, threads.map(ask, asking), strict=True):
            for (key, asked), got in zip(asking[group], answers, strict=True):
                seen |= {(key, of.key): capacity for of, capacity in zip(asked.loads, got, strict=True)}
    return [[seen[at, of.key] for of in one.loads] for at, one in zip(keys, every, strict=True)]


def _recipes(one: Candidate, capacities: Sequence[dynamics.Capacity], without: frozenset[str]) -> Iterator[Recipe]:
    """For each workload and each size, the recipe of the layout that gives most."""
    table, starts = one.table, one.start_s
    for (workload, answerer), of, got in zip(one.asked, one.loads, capacities, strict=True):
        quality = None if one.variant.quality is None else one.variant.quality.value * answerer.quality
        places = np.maximum(dynamics.places(got.in_flight, np.array(of.z)), 1.0)
        for i in _largest(got, table.chips):
            tp, pp, dp, ep = (int(column[i]) for column in (table.tp, table.pp, table.dp, table.ep))
            most = int(places[i])
            context = max(of.longest, most * of.context)
            rate = float(got.rate[i]) * (_together(of, most) if "continuous-batching" in without else 1.0)
            yield Recipe(
                workload.name, workload.kind, "", answerer.model, one.name, one.engine, tp, pp, dp, ep,
                units=tp * pp * dp, rate=rate, basis=one.cost.basis, quality=quality, max_batch=most,
                chunk=int(got.chunk[i]), context=ceil(context / CONTEXT_STEP) * CONTEXT_STEP,
                ttft_s=float(got.ttft_s[i]), tpot_s=float(got.tpot_s[i]) if of.slo else 0.0, holds=bool(got.holds[i]),
                start_s=float(starts[i]),
            )  # fmt: skip


def _largest(got: dynamics.Capacity, units: IntArray) -> list[int]:
    """Of each size the layout of the highest rate: among those that hold, if any do."""
    rate = np.where(got.holds, got.rate, 0.0) if got.holds.any() else got.rate
    order = np.lexsort((-np.arange(len(rate)), rate, units))
    last = order[np.append(np.diff(units[order]) != 0, True)]
    return [int(i) for i in last[rate[last] > 0]]


def _together(of: dynamics.Load, batch: int) -> float:
    """Share of its rate that a replica keeps when a batch starts and ends as one: all wait for its longest answer.

    What requests wait for the batch before theirs is not counted: the promise of a first token would seldom hold.
    """
    return of.output.mean / of.output.largest(batch)


def load(workload: Serve | Batch, architecture: Architecture, without: frozenset[str]) -> dynamics.Load:
    """The workload's requests as a replica sees them; no longer than the model can read."""
    asks = workload.traffic if isinstance(workload, Serve) else workload
    hit = 0.0 if "prefix-caching" in without else asks.prefix_hit
    of = dynamics.load(asks.prompt, asks.output, hit, workload.slo if isinstance(workload, Serve) else None)
    return replace(of, longest=min(of.longest, float(architecture.max_context)))
