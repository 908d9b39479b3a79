"""Recipes of training: one gang of data-parallel replicas, in every size that is worth its chips. Knows no deadline.

A gang loses time to failures: with u chips, each failing once in M seconds, a step forward is kept with probability
1 / (1 + u (R + K/2) / M), where R is the time to come back and K the time between checkpoints (half of it is lost).
"""

from __future__ import annotations

import numpy as np

from eke.cost import FloatArray, IntArray, Layouts
from eke.figures import Precision
from eke.models.variant import Variant
from eke.plan import layouts
from eke.plan.layouts import take
from eke.plan.recipes import Recipe, Site
from eke.plan.scenario import Train

CHIP_FAILURES_S = 1000 / 6.5 * 86400 * 8
"""Seconds between failures of one chip: 6.5 failures per 1,000 node-days of 8 GPUs (Meta RSC-1, arXiv 2410.21680)."""
RECOVERY_S = 720.0
"""From a failure to the next step: 12 minutes, estimated (restarts of 68 min by hand, Unicron, to 17 s of warm start, FT-HSDP)."""
CHECKPOINT_S = 1800.0
"""Between two checkpoints; estimated."""
MOVE_S = 180.0
"""To stop a gang by a checkpoint and go on with another size: estimated, from NCCL starts of 17 s (warm) to 200 s (cold) at 16,000
GPUs (FT-HSDP, arXiv 2602.00277)."""

MICRO_BATCHES = (1, 2, 4)
CPU_MICRO_BATCHES = (4, 8, 16)

_STANDS_IN: dict[Precision, tuple[Precision, ...]] = {"bf16": ("bf16", "fp16"), "fp8": ("fp8",)}


def recipes(workload: Train, site: Site) -> list[Recipe]:
    """Gangs of the workload at a site, each size in its fastest layout, larger ones only where they are faster."""
    cpu = site.chip.kind == "cpu"
    if not cpu and not any(p in site.chip.flops for p in _STANDS_IN[workload.precision]):
        return []
    sequences = max(1, round(workload.global_batch / workload.sequence))
    table = layouts.training(workload.architecture, site, sequences)
    sizes = CPU_MICRO_BATCHES if cpu else MICRO_BATCHES
    n = len(table.tp)
    micro = np.repeat(np.array(sizes), n)
    table = take(table, np.tile(np.arange(n), len(sizes)))
    table, micro = _whole(table, micro, sequences, site)
    return _gangs(workload, site, table, micro) if len(table.tp) else []


def _whole(table: Layouts, micro: IntArray, sequences: int, site: Site) -> tuple[Layouts, IntArray]:
    """Rows whose data ranks have work for whole micro-batches and whose model replicas lie in nodes without waste."""
    model = table.tp * table.pp
    keep = table.dp * micro <= sequences
    keep &= np.where(model <= site.per_node, site.per_node % model == 0, model % site.per_node == 0) | (site.chip.kind == "cpu")
    return take(table, np.flatnonzero(keep)), micro[keep]


def _gangs(workload: Train, site: Site, table: Layouts, micro: IntArray) -> list[Recipe]:
    variant = Variant(workload.precision, 16.0, workload.precision, 16.0, None)
    cost = site.cost(workload.architecture, variant, training=True)
    times, memory = cost.training(table, micro, workload.sequence, workload.global_batch, workload.precision)
    gang = table.tp * table.pp * table.dp
    occupied = gang if site.chip.kind == "cpu" else np.where(
        gang <= site.per_node, _next_divisor(gang, site.per_node), np.ceil(gang / site.per_node) * site.per_node
    ).astype(np.int64)  # fmt: skip
    kept = 1 / (1 + gang * (RECOVERY_S + CHECKPOINT_S / 2) / CHIP_FAILURES_S)
    rate = workload.global_batch / (times.seconds * cost.interval[1]) * kept
    rate = np.where(memory.fits & (occupied <= site.units), rate, 0.0)
    flop = cost.training_flop_per_token(workload.sequence)
    peak = cost.peak(workload.precision)
    found = []
    for i in _frontier(occupied, rate):
        found.append(
            Recipe(
                workload.name, "train", "", workload.model, workload.precision, site.engine(training=True),
                int(table.tp[i]), int(table.pp[i]), int(table.dp[i]), int(table.ep[i]), units=int(occupied[i]),
                rate=float(rate[i]), basis=cost.basis, micro_batch=int(micro[i]), flop_per_token=flop,
                mfu=float(rate[i] * flop / (gang[i] * peak)),
            )
        )  # fmt: skip
    return found


def _next_divisor(units: IntArray, whole: int) -> IntArray:
    """Least divisor of `whole` that is at least `units`, so that what is left of a node stays useful."""
    divisors = np.array([d for d in range(1, whole + 1) if whole % d == 0])
    return divisors[np.minimum(np.searchsorted(divisors, units), len(divisors) - 1)]


def _frontier(units: IntArray, rate: FloatArray) -> list[int]:
    """Rows that give more than every row of as few or fewer units, by size."""
    order = np.lexsort((-rate, units))
    before = np.concatenate([[0.0], np.maximum.accumulate(rate[order])[:-1]])
    return order[rate[order] > before * (1 + 1e-9)].tolist()  # type: ignore[no-any-return]

