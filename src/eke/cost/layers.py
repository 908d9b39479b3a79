"""A model's layers as they lie on chips: kinds of attention and feed-forward, counts, weights and caches per rank.

Knows shapes and shards, no seconds. Equal layers are counted once, however the model interleaves them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from eke.cost.tables import FloatArray, Layouts
from eke.models.architecture import Architecture, Attention, FeedForward

# What Python issues a layer: norms, projections, positions, cache and all-reduces; MLA's latent steps; a linear mixer's
# convolution, gates and chunk kernels; scores, choice and sorting of experts.
ISSUED = {"attention": 10.0, "mla": 14.0, "linear": 14.0, "choosing": 6.0, "mlp": 4.0, "experts": 12.0}
# TensorRT-LLM: one operation for attention with positions and cache, one for all-reduce with norm and quantisation
# (LlamaDecoderLayer), one for experts with their sorting; MLA's inputs are quantised one by one.
TIGHT = ISSUED | {"attention": 4.0, "mla": 20.0, "mlp": 4.0, "experts": 6.0}


@dataclass(frozen=True, slots=True)
class Layers:
    """Kinds of layers of one model, each with how many there are."""

    architecture: Architecture
    attention: tuple[tuple[int, Attention], ...]
    feed_forward: tuple[tuple[int, FeedForward], ...]

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.architecture.hidden

    def issued(self, engine: str) -> float:
        """Operations of one pass through all layers, as Python issues them one by one outside CUDA graphs."""
        of = TIGHT if engine == "trtllm" else ISSUED
        return sum(
            count * (of["attention"] + of.get(a.kind, 0.0) + of["choosing"] * (a.selects is not None))
            for count, a in self.attention
        ) + sum(
            count * (of["mlp"] * bool(f.shared_intermediate or not f.experts) + of["experts"] * bool(f.experts))
            for count, f in self.feed_forward
        )

    def in_turn(self, engine: str) -> bool:
        """Whether the host waits for the chip in every layer where prompts are read.

        SGLang reads lengths back from the chip in each linear mixer (sgl-project/sglang, pull request 27683).
        """
        return engine == "sglang" and any(a.kind == "linear" for _, a in self.attention)


def layers(architecture: Architecture) -> Layers:
    """The layers of `architecture`, equal ones together."""
    mixers: Counter[Attention] = Counter()
    channels: Counter[FeedForward] = Counter()
    for block in architecture.blocks:
        mixers[block.attention] += block.count
        channels[block.feed_forward] += block.count
    return Layers(
        architecture,
        tuple((count, kind) for kind, count in mixers.items()),
        tuple((count, kind) for kind, count in channels.items()),
    )


@dataclass(frozen=True, slots=True)
class Sharding:
    """Layouts as floats, and the ranks among which the experts of a layer are shared out. All [n].

    Attributes:
        expert_tp: ranks one expert is cut over. expert_dp: data ranks whose tokens meet at one set of experts.
        shares_memory: ranks share one memory (a CPU's cores), so nothing is held twice.
    """

    tp: FloatArray
    pp: FloatArray
    ep: FloatArray
    dp: FloatArray
    expert_tp: FloatArray
    expert_dp: FloatArray
    shares_memory: bool


def sharding(layouts: Layouts, *, training: bool, shares_memory: bool = False) -> Sharding:
    """Serving cuts experts over all tp*dp ranks (vLLM); training keeps a copy per tp*ep ranks (Megatron)."""
    tp, pp, ep, dp = (np.asarray(x, dtype=np.float64) for x in (layouts.tp, layouts.pp, layouts.ep, layouts.dp))
    expert_tp = tp * dp / ep
    if training:
        expert_tp = np.minimum(expert_tp, tp)
    return Sharding(tp, pp, ep, dp, expert_tp, ep * expert_tp / tp, shares_memory)


def kv_share(a: Attention, to: Sharding) -> FloatArray:
    """Share of a layer's KV heads one rank holds: a head is not cut, so tp beyond the heads holds copies. [n]"""
    if a.kind == "mla" and not to.shares_memory:
        return np.ones_like(to.tp)
    if a.kind in ("linear", "none", "mla") or to.shares_memory:
        return 1.0 / to.tp
    return np.maximum(1.0 / to.tp, 1.0 / max(a.kv_heads, 1))


def output_values(a: Attention, hidden: int) -> int:
    """Weights of the output projection."""
    return min(a.heads * a.v_head_dim * hidden, a.parameters)


def input_values(a: Attention, hidden: int, to: Sharding) -> FloatArray:
    """Weights before attention on one rank: what tp cuts, KV heads it copies, MLA's down-projections it repeats. [n]"""
    keys = 0
    if a.kind in ("full", "sliding") and not a.shares_kv:
        keys = hidden * a.kv_heads * (a.head_dim + a.v_head_dim)
    repeated = hidden * (a.q_rank + a.kv_rank + a.rope_dim) if a.kind == "mla" and not to.shares_memory else 0
    cut = max(a.parameters - output_values(a, hidden) - keys - repeated, 0)
    local: FloatArray = cut / to.tp + keys * kv_share(a, to) + repeated
    return local


def routed_values(f: FeedForward, hidden: int) -> int:
    """Weights of all routed experts of a layer."""
    return f.experts * f.matrices * (f.latent or hidden) * f.intermediate


def attention_weights(model: Layers, to: Sharding) -> FloatArray:
    """Values of all attention layers on the ranks of one stage column, before pp. [n]"""
    h = model.hidden
    total = np.zeros_like(to.tp)
    for count, a in model.attention:
        total += count * (input_values(a, h, to) + output_values(a, h) / to.tp)
    return total


def feed_forward_weights(model: Layers, to: Sharding) -> tuple[FloatArray, FloatArray]:
    """Values of (dense and shared, routed expert) layers per rank, before pp. [n] each"""
    dense, experts = np.zeros_like(to.tp), np.zeros_like(to.tp)
    for count, f in model.feed_forward:
        routed = min(routed_values(f, model.hidden), f.parameters)
        dense += count * (f.parameters - routed) / to.tp
        experts += count * routed / (to.ep * to.expert_tp)
    return dense, experts


def kv_bytes(model: Layers, to: Sharding, context: FloatArray, kv_bits: float) -> FloatArray:
    """Cache and state bytes of one sequence of `context` tokens on the ranks of one stage column, before pp. [n]"""
    total = np.zeros_like(to.tp)
    for count, a in model.attention:
        if a.kind == "none":
            continue
        if a.state:
            total = total + count * a.state * 2.0 / to.tp  # states stay in 16 bits
        if a.shares_kv or a.kind == "linear":
            continue
        reach = np.minimum(context, a.window) if a.window else context
        entries = reach if a.kind == "sliding" else context / a.compression
        beside = reach if a.compression > 1 else 0.0
        values = (entries + beside) * cache_width(a) * kv_share(a, to) + entries * a.index_dim
        total = total + count * values * (kv_bits / 8)
    return total


def reaches(a: Attention) -> tuple[tuple[float, float | None], ...]:
    """What a query attends to: (entries a token, most tokens) of each part of the cache it reads."""
    if a.kind == "sliding":
        return ((1.0, a.window),)
    if a.compression > 1:
        return ((1.0 / a.compression, a.selects), (1.0, a.window))
    return ((1.0, a.selects),)


def cache_width(a: Attention) -> int:
    """Values a token leaves in the cache of one layer."""
    return a.kv_rank + a.rope_dim if a.kind == "mla" else a.kv_heads * (a.head_dim + a.v_head_dim)


def stage_share(model: Layers, to: Sharding) -> FloatArray:
    """Share of all layers in the fullest pipeline stage. [n]"""
    count = model.architecture.layers
    share: FloatArray = np.ceil(count / to.pp) / count
    return share


def ends(model: Layers, to: Sharding) -> FloatArray:
    """Values of embedding and output matrix on the fuller end of the pipeline. [n]"""
    a = model.architecture
    head = a.head_parameters or (a.embedding_parameters)
    both = a.embedding_parameters + a.head_parameters + a.other_parameters
    held: FloatArray = np.where(to.pp > 1, max(a.embedding_parameters, head), both) / to.tp
    return held
