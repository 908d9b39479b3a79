"""What lies in a chip's memory while a model serves: weights, KV cache, working memory.

Bytes of the fullest chip of a replica. Knows no time.
"""

from __future__ import annotations

import numpy as np

from eke.cost.forward import Pass
from eke.cost.layers import attention_weights, ends, feed_forward_weights, kv_bytes, stage_share
from eke.cost.tables import FloatArray, IntArray, Memory

UNBOUNDED = 1 << 20  # sequences, where none leaves anything in memory


def weight_parts(of: Pass) -> dict[str, FloatArray]:
    """Weights per chip, by what they belong to. [n] each"""
    dense, experts = feed_forward_weights(of.model, of.to)
    wide = of.wide_bytes if of.model.architecture.has_experts else of.weight_bytes
    share = stage_share(of.model, of.to)
    return {
        "attention weights": attention_weights(of.model, of.to) * of.wide_bytes * share,
        "feed-forward weights": dense * wide * share,
        "expert weights": experts * of.weight_bytes * share,
        "embedding and output weights": ends(of.model, of.to) * of.head_bytes,
    }


def weight_bytes(of: Pass) -> FloatArray:
    """Weights per chip. [n]"""
    weights: FloatArray = np.add.reduce(list(weight_parts(of).values()))
    return weights


def activation_bytes(of: Pass) -> FloatArray:
    """Activations of a full iteration. [n]"""
    p, h = of.on.profile, of.model.hidden
    widest = max(f.shared_intermediate + f.experts_per_token * f.intermediate if f.experts else f.intermediate
                 for _, f in of.model.feed_forward)  # fmt: skip
    values = p.batched_tokens * (6.0 * h + 3.0 * widest / of.to.tp)
    activations: FloatArray = 2.0 * values
    return activations


def working_bytes(of: Pass) -> FloatArray:
    """What the engine holds besides weights and cache: its reserve and the activations of a full iteration. [n]"""
    working: FloatArray = of.on.profile.reserve_bytes + activation_bytes(of)
    return working


def sequence_bytes(of: Pass, context: FloatArray) -> FloatArray:
    """Cache of one sequence on a chip that holds it. [n]"""
    return kv_bytes(of.model, of.to, context, of.variant.kv_bits) * stage_share(of.model, of.to)


def serving_memory(of: Pass, sequences: FloatArray, context: FloatArray) -> Memory:
    """Memory with `sequences` [n] in flight over the replica, `context` [n] tokens each."""
    weights, working = weight_bytes(of), working_bytes(of)
    kv = sequence_bytes(of, context) * np.ceil(sequences / of.to.dp)
    total = weights + kv + working
    none = np.zeros_like(total)
    return Memory(weights, kv, working, none, total, total <= of.on.chip.memory * of.on.profile.usable, none)


def parts(of: Pass, sequences: FloatArray, context: FloatArray) -> dict[str, FloatArray]:
    """What `serving_memory` adds up, told apart. [n] each"""
    held = np.ceil(sequences / of.to.dp)
    state = sequence_bytes(of, np.zeros_like(context))
    return {
        **weight_parts(of),
        "KV cache": held * (sequence_bytes(of, context) - state),
        "recurrent state": held * state,
        "activations": activation_bytes(of),
        "engine": np.full_like(state, of.on.profile.reserve_bytes),
    }


def max_sequences(of: Pass, context: FloatArray) -> IntArray:
    """Most sequences of `context` tokens a replica holds; 0 where the weights leave no room. [n]"""
    free = of.on.chip.memory * of.on.profile.usable - weight_bytes(of) - working_bytes(of)
    each = np.maximum(sequence_bytes(of, context), 1.0)
    held = np.floor(np.maximum(free, 0.0) / each) * of.to.dp
    return np.minimum(held, UNBOUNDED).astype(np.int64)
