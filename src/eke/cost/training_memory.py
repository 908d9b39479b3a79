"""What lies in a chip's memory while a model trains, and how many layers must be computed twice for it to fit."""

from __future__ import annotations

import numpy as np

from eke.cost.layers import Layers, stage_share
from eke.cost.tables import FloatArray, Memory
from eke.cost.training_job import Job

# Bytes a parameter, mixed-precision Adam (Rajbhandari et al. 2020, ZeRO, section 3.1): weight and gradient in 16 bits,
# master weight and two moments in 32.
WEIGHT_BYTES, GRADIENT_BYTES, STATE_BYTES = 2.0, 2.0, 12.0
BYTES = 2.0  # a value of an activation, in 16 bits
SELECTED = 0.6  # of a layer's activations stay where only the cheap ones are computed again
GATHERED_LAYERS = 2.0  # layers whose weights are whole at a time, where data ranks share weights out


def activation_values(model: Layers, tp: FloatArray) -> tuple[FloatArray, float]:
    """Values a token leaves for the backward pass, all layers: (kept whole, kept as layer inputs only) on tp ranks.

    Per layer 4h (inputs of norms and products), queries, keys, values and outputs of attention, and up, gate and their
    product of the feed-forward. For GPT this is the 34 s b h bytes of Korthikanti et al. 2022 without attention scores.
    """
    h = model.hidden
    whole = 0.0
    for count, a in model.attention:
        inner = a.heads * (a.head_dim + a.v_head_dim) + a.kv_heads * (a.head_dim + a.v_head_dim)
        whole += count * (4.0 * h + (0 if a.kind == "none" else inner))
    for count, f in model.feed_forward:
        width = f.experts_per_token * f.intermediate + f.shared_intermediate if f.experts else f.intermediate
        routed = f.experts_per_token * h if f.experts else 0  # a copy of the token for each of its experts
        whole += count * (f.matrices * width + 2.0 * routed)
    return whole / tp, float(h * model.architecture.layers)


def _held(job: Job) -> tuple[FloatArray, FloatArray]:
    """Bytes of weights, and of gradients with optimizer state. [n] each"""
    dense, experts = job.weights()
    whole = dense + experts
    share = dense / job.data + experts / job.expert_data
    if job.frozen:
        return WEIGHT_BYTES * whole, np.zeros_like(whole)
    weights = WEIGHT_BYTES * whole
    if job.state == "zero3":
        weights = WEIGHT_BYTES * (share + GATHERED_LAYERS * whole / job.model.architecture.layers)
    gradients = GRADIENT_BYTES * (whole if job.state == "zero1" else share)
    return weights, gradients + STATE_BYTES * share


def memory(job: Job, tokens: FloatArray, micro_batches: FloatArray) -> Memory:
    """Memory of the first stage with micro-batches of `tokens` [n], recomputing as the job says."""
    weights, optimizer = _held(job)
    whole, inputs = activation_values(job.model, job.to.tp)
    if job.recompute == "selective":
        whole = whole * SELECTED
    pp, chunks = job.to.pp, job.chunks
    in_flight = np.minimum(pp, micro_batches) * (1 + (pp - 1) / pp / chunks * (chunks > 1))
    a_layer = BYTES * tokens * stage_share(job.model, job.to) * in_flight
    keep, drop = a_layer * whole, a_layer * inputs / job.to.tp
    # Logits in 16 bits and, for the loss, in 32; and one layer whole while it goes back.
    a = job.model.architecture
    beside = tokens * (6.0 * a.vocabulary / job.to.tp + BYTES * whole / a.layers) + job.on.profile.reserve_bytes
    limit = job.on.chip.memory * job.on.profile.usable
    if job.recompute is None:
        recomputed = np.clip((keep - limit + weights + optimizer + beside) / np.maximum(keep - drop, 1.0), 0.0, 1.0)
    else:
        recomputed = np.full_like(keep, 1.0 if job.recompute == "full" else 0.0)
    activations = keep + recomputed * (drop - keep) + beside
    total = weights + optimizer + activations
    fits = total <= limit * (1 + 1e-9)
    return Memory(weights, np.zeros_like(total), activations, optimizer, total, fits, recomputed)
