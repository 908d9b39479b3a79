"""Recipes of serve and batch workloads: models and variants that may answer, laid out over each kind of place.

It asks the cost model through `capacity`; it knows no pool's size beyond what fits, and no demand beyond its lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import ceil
from typing import NamedTuple

import numpy as np

from eke.cost import Layouts
from eke.errors import UnknownName
from eke.figures import Precision
from eke.models.architecture import Architecture
from eke.models.variant import Variant, variants
from eke.plan import capacity as dynamics
from eke.plan import layouts
from eke.plan.recipes import Recipe, Site, undominated
from eke.plan.scenario import Batch, Serve

SIXTEEN: tuple[Precision, ...] = ("bf16", "fp16", "fp32")
"""What a chip may compute 16-bit weights in, best first."""
LLAMACPP_CHUNKS = (512.0,)
POOR = 0.4
"""Recipes below this share of the best rate a chip (same workload, place and model) are not worth their simplicity."""
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


def allowed(workload: Serve | Batch, architecture: Architecture) -> dict[str, Variant]:
    """Variants the workload may use: those it names, else all whose published quality meets its floor.

    Raises:
        UnknownName: a variant the model does not have.
    """
    known = _variants(architecture)
    for name in workload.variants or ():
        if name not in known:
            raise UnknownName(f"variant of {architecture.name}", name, known)
    if workload.variants:
        named = {n: known[n] for n in workload.variants}
        return {n: v for n, v in named.items() if v.quality is None or v.quality.value >= workload.min_quality}
    return {n: v for n, v in known.items() if v.quality is not None and v.quality.value >= workload.min_quality}


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


def recipes(workload: Serve | Batch, site: Site) -> list[Recipe]:
    """Every recipe of the workload at a site that no other there replaces; `pool` is left open."""
    found: list[Recipe] = []
    for answerer in answerers(workload):
        table = layouts.serving(answerer.architecture, site)
        for name, variant in _distinct(allowed(workload, answerer.architecture), site).items():
            if len(table.tp) and runs(variant, site):
                found += _of_variant(workload, answerer, name, variant, site, table)
    enough = max(workload.traffic.rates) if isinstance(workload, Serve) else workload.requests_per_s
    return _filtered(found, workload.min_quality, enough)


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
    return [r for r in found if r.rate >= enough or r.rate / r.units >= POOR * best]


def _of_variant(
    workload: Serve | Batch, answerer: Answerer, name: str, variant: Variant, site: Site, table: Layouts
) -> list[Recipe]:
    """One recipe for each layout in which the variant fits."""
    cost = site.cost(answerer.architecture, variant, training=False)
    of = _load(workload, answerer.architecture)
    got = dynamics.capacity(cost, table, of, LLAMACPP_CHUNKS if site.chip.kind == "cpu" else dynamics.CHUNKS)
    quality = None if variant.quality is None else variant.quality.value * answerer.quality
    found = []
    for i in np.flatnonzero(got.rate > 0).tolist():
        tp, pp, dp, ep = (int(column[i]) for column in (table.tp, table.pp, table.dp, table.ep))
        most = max(1, ceil(got.in_flight[i] + of.z * got.in_flight[i] ** 0.5))
        context = max(of.longest, most * of.context)
        found.append(
            Recipe(
                workload.name, workload.kind, "", answerer.model, name, site.engine(training=False), tp, pp, dp, ep,
                units=tp * pp * dp, rate=float(got.rate[i]), basis=cost.basis, quality=quality, max_batch=most,
                chunk=int(got.chunk[i]), context=ceil(context / CONTEXT_STEP) * CONTEXT_STEP,
                ttft_s=float(got.ttft_s[i]), tpot_s=float(got.tpot_s[i]) if of.slo else 0.0, holds=bool(got.holds[i]),
            )
        )  # fmt: skip
    return found


def _load(workload: Serve | Batch, architecture: Architecture) -> dynamics.Load:
    """The workload's requests as a replica sees them; no longer than the model can read."""
    if isinstance(workload, Serve):
        traffic = workload.traffic
        of = dynamics.load(traffic.prompt, traffic.output, traffic.prefix_hit, workload.slo)
    else:
        of = dynamics.load(workload.prompt, workload.output, workload.prefix_hit, None)
    return replace(of, longest=min(of.longest, float(architecture.max_context)))
