"""One optimizer step of training: time by operator, memory, the least recomputation that fits. Knows no deadline.

Tensor ranks with sequence parallelism, pipeline stages under 1F1B (interleaved where layers allow), expert ranks inside
the data ranks, mixed-precision Adam sharded over data ranks (ZeRO-1).
"""

from __future__ import annotations

import numpy as np

from eke.cost._bill import Bill
from eke.cost.collectives import Group
from eke.cost.forward import OPERATORS, Pass, Tokens, forward
from eke.cost.kernels import stream
from eke.cost.layers import Layers, attention_weights, ends, feed_forward_weights, reaches, stage_share
from eke.cost.tables import FloatArray, Memory, Times

TRAINING_OPERATORS = (*OPERATORS, "bubble", "gradients", "optimizer")

# Bytes a parameter, mixed-precision Adam (Rajbhandari et al. 2020, ZeRO, section 3.1): weight and gradient in 16 bits,
# and over the data ranks (ZeRO-1) master weight and two moments in 32.
GRADIENT_BYTES, STATE_BYTES = 2.0, 12.0
# What the optimizer moves a parameter: gradient and state in, state and weight out.
UPDATE_BYTES = GRADIENT_BYTES + 2 * STATE_BYTES + 2.0

# Backward work over forward work: a product has two (by input, by weight); flash attention computes its scores again.
BACKWARD = {"attention prefill": 2.5, "tensor all-reduce": 1.0, "expert all-to-all": 1.0, "pipeline send": 1.0}
BACKWARD_ELSE = 2.0


def flop_per_token(model: Layers, sequence: float) -> float:
    """Forward and backward FLOP of one token: 6 a weight it touches, and 3 * 2 heads (d_qk + d_v) a causal key it sees.

    A token of a sequence of s sees (s + 1)/2 keys; the usual `12 L h s` counts all s of them.
    """
    pairs = 0.0
    for count, a in model.attention:
        if a.kind == "linear":
            pairs += count * 2.0 * a.state
        elif a.kind != "none":
            for entries, most in reaches(a):
                w = min(most or sequence, sequence)
                keys = w * (1 - (w - 1) / (2 * sequence))  # mean of min(i, w) over i = 1 … s
                pairs += count * a.heads * (a.head_dim + a.v_head_dim) * entries * keys
    return 6.0 * (model.architecture.active_parameters + pairs)


def activation_values(model: Layers, of: Pass) -> tuple[FloatArray, float]:
    """Values a token leaves for the backward pass, all layers: (kept whole, kept as layer inputs only) on tp ranks.

    Per layer 4h (inputs of norms and products), queries, keys, values and outputs of attention, and up, gate and their
    product of the feed-forward. For GPT this is the 34 s b h bytes of Korthikanti et al. 2022 without attention scores.
    """
    h = model.hidden
    whole = np.zeros_like(of.to.tp)
    for count, a in model.attention:
        inner = a.heads * (a.head_dim + a.v_head_dim) + a.kv_heads * (a.head_dim + a.v_head_dim)
        whole += count * (4.0 * h + (0 if a.kind == "none" else inner))
    for count, f in model.feed_forward:
        width = f.experts_per_token * f.intermediate + f.shared_intermediate if f.experts else f.intermediate
        routed = f.experts_per_token * h if f.experts else 0  # a copy of the token for each of its experts
        whole += count * (f.matrices * width + 2.0 * routed)
    return whole / of.to.tp, float(h * model.architecture.layers)


def _stage_counts(of: Pass) -> tuple[FloatArray, FloatArray]:
    """Parameters per chip (dense, expert) of the fullest stage. [n] each"""
    dense, experts = feed_forward_weights(of.model, of.to)
    share = stage_share(of.model, of.to)
    return (attention_weights(of.model, of.to) + dense) * share + ends(of.model, of.to), experts * share


def memory(of: Pass, micro_batch: FloatArray, sequence: FloatArray, micro_batches: FloatArray) -> Memory:
    """Memory of the first stage, recomputing the smallest share of layers that makes it fit."""
    dense, experts = _stage_counts(of)
    data = of.to.dp
    expert_data = np.maximum(of.to.dp / of.to.expert_dp, 1.0)
    weights = 2.0 * (dense + experts)
    optimizer = GRADIENT_BYTES * (dense + experts) + STATE_BYTES * (dense / data + experts / expert_data)

    whole, inputs = activation_values(of.model, of)
    chunks = virtual_stages(of)
    in_flight = np.minimum(of.to.pp, micro_batches) * (1 + (of.to.pp - 1) / of.to.pp / chunks * (chunks > 1))
    tokens = micro_batch * sequence
    a_layer = 2.0 * tokens * stage_share(of.model, of.to) * in_flight
    keep, drop = a_layer * whole, a_layer * inputs / of.to.tp
    logits = (2.0 + 4.0) * tokens * of.model.architecture.vocabulary / of.to.tp  # in 16 bits and, for the loss, 32
    one_layer = 2.0 * tokens * whole / of.model.architecture.layers
    rest = weights + optimizer + logits + one_layer + of.on.profile.reserve_bytes
    room = of.on.chip.memory * of.on.profile.usable - rest
    recomputed = np.clip((keep - room) / np.maximum(keep - drop, 1.0), 0.0, 1.0)
    activations = keep + recomputed * (drop - keep) + logits + one_layer + of.on.profile.reserve_bytes
    total = weights + optimizer + activations
    fits = total <= of.on.chip.memory * of.on.profile.usable * (1 + 1e-9)
    return Memory(weights, np.zeros_like(total), activations, optimizer, total, fits, recomputed)


def virtual_stages(of: Pass) -> FloatArray:
    """Model chunks a pipeline rank holds: as many as layers allow, up to what the engine does. [n]"""
    layers = of.model.architecture.layers
    chunks: FloatArray = np.clip(layers // of.to.pp, 1, of.on.profile.virtual_stages)
    return np.where(of.to.pp > 1, chunks, 1.0)


def step(
    of: Pass, micro_batch: FloatArray, sequence: FloatArray, global_batch_tokens: FloatArray
) -> tuple[Times, Memory]:
    """One optimizer step over `global_batch_tokens` [n]."""
    n = len(of.to.tp)
    micro_batches = np.maximum(np.ceil(global_batch_tokens / (micro_batch * sequence * of.to.dp) - 1e-9), 1.0)
    held = memory(of, micro_batch, sequence, micro_batches)
    zero = np.zeros(n)

    bill = Bill(n, TRAINING_OPERATORS)
    count = micro_batch * sequence
    forward(bill, of, Tokens(count, zero, rows=count, sequences=zero, context=zero, parts=micro_batch))
    chunks = virtual_stages(of)
    balance = stage_share(of.model, of.to) * of.to.pp
    for name in OPERATORS:
        back = BACKWARD.get(name, BACKWARD_ELSE)
        again = 0.0 if name in ("head", "pipeline send") else held.recomputed
        share = micro_batches / of.to.pp * balance  # each stage holds its part of the layers
        if name == "tensor all-reduce":
            share = share * (1 - of.on.profile.overlap_tp)
        if name == "pipeline send":
            share = share * chunks
        bill.scale(name, (1.0 + back + again) * share)
    worked = bill.seconds_of()
    bill.add("bubble", overhead=worked * (of.to.pp - 1) / (chunks * micro_batches))
    _reduce(bill, of, worked / micro_batches)
    bill.add("engine", overhead=of.on.profile.step_s)
    return bill.times(), held


def _reduce(bill: Bill, of: Pass, last: FloatArray) -> None:
    """Gradients are summed and scattered, new weights gathered; part hides behind the last micro-batch."""
    dense, experts = _stage_counts(of)
    replicas = of.layouts.dp
    expert_replicas = np.maximum(of.to.dp / of.to.expert_dp, 1.0)
    link, latency = Group(of.on, replicas, of.layouts.tp).all_reduce(2.0 * dense)
    stride = (of.layouts.tp * of.to.expert_dp).astype(np.int64)
    expert_link, expert_latency = Group(of.on, expert_replicas.astype(np.int64), stride).all_reduce(2.0 * experts)
    hidden = np.minimum(of.on.profile.overlap * (link + expert_link), last)
    bill.add("gradients", link=link + expert_link - hidden, overhead=latency + expert_latency)
    held = dense / of.to.dp + experts / expert_replicas
    bill.add("optimizer", memory=stream(of.on, UPDATE_BYTES * held), overhead=of.on.profile.kernel_s * 10)
