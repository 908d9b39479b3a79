"""Recipes of training: one gang of data-parallel replicas, in every size that is worth its chips. Knows no deadline.

A gang loses time to failures, as `eke.cost.goodput` says: more, the more chips it has.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from eke.cost import FloatArray, IntArray, Layouts
from eke.cost.goodput import Restarts, effective_share
from eke.figures import Precision
from eke.models.variant import Variant
from eke.plan import layouts
from eke.plan.layouts import take
from eke.plan.pins import Form
from eke.plan.recipes import UNKNOWN_LINK, Recipe, Site
from eke.plan.scenario import Train

RESTARTS = Restarts()
"""What failures cost, as `eke.cost.goodput` has it: as often as three published fleets fail in the mean, the checkpoint
interval that loses least."""
JOINING = 1 - 0.9749
"""Share of a gang's rate lost to another kind of chip in step with it: HETHUB reached 97.49% of the theoretical rate
of two kinds on 768 chips (arXiv 2405.16256, abstract); others state 95% (Baidu Baige 4.0, vendor's claim)."""
MOVE_S = 180.0
"""To stop a gang by a checkpoint and go on with another size: estimated, from NCCL starts of 17 s (warm) to
200 s (cold) at 16,000 GPUs (FT-HSDP, arXiv 2602.00277)."""

BATCH_MAY_DIFFER = 0.02
"""A step may have this share more or fewer sequences than asked for, so that all data ranks have equally many."""
GRADIENT_BYTES = 2.0
STEP = 0.004
"""Sizes that give less than this share more than the next smaller one are left out."""

MICRO_BATCHES = (1, 2, 4)
CPU_MICRO_BATCHES = (4, 8, 16)

_STANDS_IN: dict[Precision, tuple[Precision, ...]] = {"bf16": ("bf16", "fp16"), "fp8": ("fp8",)}


def recipes(workload: Train, site: Site) -> list[Recipe]:
    """Gangs of the workload alone at a site, each size in its fastest layout, larger ones only where they are
    faster.
    """
    return _gangs(workload, site, 1.0, None)


def formed(workload: Train, site: Site, form: Form) -> list[Recipe]:
    """The gang of that form at a site, standing alone; none where it does not fit."""
    tp, pp, dp, ep = form.shape
    return _gangs(workload, site, 1.0, None, layouts.table([(tp, pp, ep, dp)])) if form.model == workload.model else []


def parts(workload: Train, site: Site, rest: float, share: float, link: float | None, *, joins: bool) -> list[Recipe]:
    """Gangs that work through `share` of each step while other pools do the rest, in step with them.

    Gradients of all weights cross between the pools once each way, over the link (bytes/s per chip) of the gang's own
    chips. A failure of one chip stops all of them, and what `joins` the strongest pool slows the others down: both are
    taken off the part's own rate, so that it says what the part really adds.

    Args:
        workload: what is trained.
        site: where.
        rest: tokens/s of the other pools.
        share: of each step that is done here.
        link: to the other pools; None: unknown.
        joins: this is not the strongest pool of the group.
    """
    found = _gangs(workload, site, share, link or UNKNOWN_LINK)
    lost = [rest * (1 - float(kept(r.units)) + JOINING * joins) / r.rate for r in found]
    return [
        replace(r, rate=r.rate * (1 - part), mfu=r.mfu * (1 - part))
        for r, part in zip(found, lost, strict=True)
        if part < 1
    ]


def kept(chips: ArrayLike) -> FloatArray:
    """Share of its time that a gang of so many chips does not lose to failures, restarts and checkpoints."""
    return effective_share(np.asarray(chips, dtype=float) / RESTARTS.chip_s, RESTARTS)


def _gangs(workload: Train, site: Site, share: float, link: float | None, only: Layouts | None = None) -> list[Recipe]:
    cpu = site.chip.kind == "cpu"
    sequences = max(1, round(workload.global_batch * share / workload.sequence))
    if not cpu and not any(p in site.chip.flops for p in _STANDS_IN[workload.precision]):
        return []
    table, micro, count = _rows(
        only or layouts.training(workload.architecture, site, sequences),
        sequences,
        CPU_MICRO_BATCHES if cpu else MICRO_BATCHES,
    )
    if not len(table.tp):
        return []
    cost = site.cost(
        workload.architecture, Variant(workload.precision, 16.0, workload.precision, 16.0, None), training=True
    )
    batch = (count * micro * table.dp * workload.sequence).astype(float)
    times, memory = cost.training(table, micro, workload.sequence, batch, workload.precision)
    gang = table.tp * table.pp * table.dp
    nodes = np.ceil(gang / site.per_node) * site.per_node
    units = np.where(cpu, gang, np.where(gang <= site.per_node, _next_divisor(gang, site.per_node), nodes)).astype(
        np.int64
    )
    seconds = times.seconds * cost.interval[1]
    if link is not None:
        crossing = 2 * GRADIENT_BYTES * workload.architecture.parameters / (link * gang)
        # Each part takes whole micro-batches: the last one is, in the mean, half empty.
        seconds = seconds * (1 + 0.5 / count) + crossing
    rate = np.where(memory.fits & (units <= site.units), batch / seconds * kept(gang), 0.0)
    flop = cost.training_flop_per_token(workload.sequence)
    mfu = rate * flop / (gang * cost.peak(workload.precision))
    return [
        Recipe(
            workload.name, "train", "", workload.model, workload.precision, site.engine(training=True),
            int(table.tp[i]), int(table.pp[i]), int(table.dp[i]), int(table.ep[i]), units=int(units[i]),
            rate=float(rate[i]), basis=cost.basis, micro_batch=int(micro[i]),
            accumulate=int(count[i]), flop_per_token=flop, mfu=float(mfu[i]),
        )
        for i in _frontier(units, rate)
    ]  # fmt: skip


def _rows(table: Layouts, sequences: int, micro_batches: tuple[int, ...]) -> tuple[Layouts, IntArray, IntArray]:
    """Each layout with each micro-batch, and the whole micro-batches a rank takes; those whose batch is the wanted
    one or nearly.
    """
    n = len(table.tp)
    micro = np.repeat(np.array(micro_batches), n)
    table = take(table, np.tile(np.arange(n), len(micro_batches)))
    count = np.maximum(1, np.round(sequences / (micro * table.dp))).astype(np.int64)
    near = np.abs(count * micro * table.dp - sequences) <= max(BATCH_MAY_DIFFER * sequences, 0.5)
    return take(table, np.flatnonzero(near)), micro[near], count[near]


def _next_divisor(units: IntArray, whole: int) -> IntArray:
    """Least divisor of `whole` that is at least `units`, so that what is left of a node stays useful."""
    divisors = np.array([d for d in range(1, whole + 1) if whole % d == 0])
    return divisors[np.minimum(np.searchsorted(divisors, units), len(divisors) - 1)]


def _frontier(units: IntArray, rate: FloatArray) -> list[int]:
    """Rows that give more than every row of as few or fewer units, by size, each a step above the one before."""
    order = np.lexsort((-rate, units))
    before = np.concatenate([[0.0], np.maximum.accumulate(rate[order])[:-1]])
    kept: list[int] = []
    for i in order[rate[order] > before * (1 + 1e-9)].tolist():
        if not kept or rate[i] > rate[kept[-1]] * (1 + STEP):
            kept.append(i)
    last = int(order[np.argmax(rate[order])]) if len(order) else -1
    return kept if not kept or rate[last] <= 0 or last in kept else [*kept, last]
