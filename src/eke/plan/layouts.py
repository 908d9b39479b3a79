"""Ways to lay a model over units: which degrees of tensor, pipeline, data and expert parallelism are worth asking
about.

It knows shapes and counts; how fast or whether it fits, the cost model says.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from eke.cost import IntArray, Layouts
from eke.models.architecture import Architecture
from eke.plan.recipes import Site

PIPELINES = (1, 2, 4, 8, 16)
EXPERT_DATA = (1, 2, 4, 8, 16)
"""Data ranks of one replica of a mixture of experts."""
SLIVERS = 4
"""Ranks, data ranks among them, that one expert is cut over at most."""


def tensor_degrees(architecture: Architecture, site: Site) -> list[int]:
    """Tensor ranks: those that divide the attention heads, powers of two, on one node; any count of cores of a CPU."""
    heads = [b.attention.heads for b in architecture.blocks if b.attention.heads]
    if site.chip.kind == "cpu":
        return [n for n in range(1, min(site.per_node, 64) + 1) if n <= 8 or site.per_node % n == 0]
    powers = [2**k for k in range(site.domain.bit_length()) if 2**k <= site.domain]
    return [t for t in powers if site.per_node % t == 0 and all(h % t == 0 for h in heads)]


def experts_of(architecture: Architecture) -> int:
    """Routed experts of a layer; 0 for a dense model."""
    return max((b.feed_forward.experts for b in architecture.blocks), default=0)


def serving(architecture: Architecture, site: Site) -> Layouts:
    """Layouts of one serving replica, no larger than the pool."""
    cpu, experts = site.chip.kind == "cpu", experts_of(architecture)
    pipelines = (1,) if cpu else tuple(p for p in PIPELINES[:4] if p <= architecture.layers)
    rows = []
    for tp, pp, dp in product(
        tensor_degrees(architecture, site), pipelines, EXPERT_DATA if experts and not cpu else (1,)
    ):
        if (dp > 1 and pp > 1) or not _places(tp * pp * dp, site):
            continue
        whole = tp * dp if experts and experts % (tp * dp) == 0 else 1
        # Each expert cut over all ranks: over more than a few data ranks too they would be slivers.
        rows += [(tp, pp, ep, dp) for ep in sorted({1, whole}) if ep > 1 or dp == 1 or tp * dp <= SLIVERS]
    return table(rows)


def training(architecture: Architecture, site: Site, sequences: int) -> Layouts:
    """Layouts of one training gang, data degrees in steps of at most about 2%."""
    cpu, experts = site.chip.kind == "cpu", experts_of(architecture)
    pipelines = (1,) if cpu else tuple(p for p in PIPELINES if p <= architecture.layers)
    parts = []
    for tp, pp in product(tensor_degrees(architecture, site), pipelines):
        model = tp * pp
        if not cpu and (site.per_node % model if model <= site.per_node else model % site.per_node):
            continue
        dp = data_degrees(1 if cpu else min(sequences, site.units // model))
        parts += [_columns(tp, pp, ep, dp[tp * dp % ep == 0]) for ep in _expert_degrees(experts, site)]
    columns = np.concatenate([np.zeros((4, 0), dtype=np.int64), *parts], axis=1)
    return Layouts(*columns)


def _columns(tp: int, pp: int, ep: int, dp: IntArray) -> IntArray:
    """Rows of one shape in several data degrees, as columns. [4, n]"""
    return np.stack([np.full_like(dp, tp), np.full_like(dp, pp), np.full_like(dp, ep), dp])


def data_degrees(most: int) -> IntArray:
    """1 to `most`: each up to 64, then in steps of about 2%, and the last."""
    few = np.arange(1, min(most, 64) + 1)
    if most <= 64:
        return few
    steps = np.geomspace(64, most, max(1, int(np.log(most / 64) / 0.02)))
    return np.unique(np.append(few, [*steps.astype(np.int64), most]))


def _expert_degrees(experts: int, site: Site) -> list[int]:
    """Expert ranks of training: none, a node's worth, and a few nodes' worth; they divide the experts."""
    wanted = (1, site.domain, 2 * site.domain, 4 * site.domain) if experts else (1,)
    return sorted({e for e in wanted if e == 1 or experts % e == 0})


def _places(units: int, site: Site) -> bool:
    """Whether a replica fits the pool, in a part of a node that divides it or in whole nodes; on a lone CPU in any
    part.
    """
    if site.chip.kind == "cpu" and site.units <= site.per_node:
        return units <= site.units
    return units <= site.units and (
        site.per_node % units == 0 if units <= site.per_node else units % site.per_node == 0
    )


def table(rows: list[tuple[int, int, int, int]]) -> Layouts:
    """Rows of (tp, pp, ep, dp) as a table."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return Layouts(columns[0], columns[1], columns[2], columns[3])


def take(layouts: Layouts, rows: IntArray) -> Layouts:
    """Some rows of a table, in that order."""
    return Layouts(layouts.tp[rows], layouts.pp[rows], layouts.ep[rows], layouts.dp[rows])
