"""One optimizer step of training: time by operator, memory, the least recomputation that fits. Knows no deadline.

Tensor ranks with sequence parallelism, context ranks that cut sequences, pipeline stages under 1F1B (interleaved where
layers allow), expert ranks inside the data ranks, mixed-precision Adam whose state, gradients or weights data ranks
share out (ZeRO-1, 2, 3). Coefficients are `trainers.py`'s, by chip and framework.
"""

from __future__ import annotations

import numpy as np

from eke.cost._bill import Bill
from eke.cost.layers import Layers, reaches, stage_share
from eke.cost.tables import FloatArray, Memory, Times
from eke.cost.training_job import Job
from eke.cost.training_memory import GRADIENT_BYTES, STATE_BYTES, WEIGHT_BYTES, memory
from eke.cost.training_work import LAYER_OPERATORS, Tokens, head, work

TRAINING_OPERATORS = (*LAYER_OPERATORS, "head", "bubble", "gradients", "optimizer", "engine")

# What the optimizer moves a parameter: gradient and state in, state and weight out.
UPDATE_BYTES = GRADIENT_BYTES + 2 * STATE_BYTES + WEIGHT_BYTES
NODE = 8.0  # chips; stragglers are counted by the node


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


def step(
    job: Job, micro_batch: FloatArray, sequence: FloatArray, global_batch_tokens: FloatArray
) -> tuple[Times, Memory]:
    """One optimizer step over `global_batch_tokens` [n]."""
    n = len(job.to.tp)
    micro_batches = np.maximum(np.ceil(global_batch_tokens / (micro_batch * sequence * job.to.dp) - 1e-9), 1.0)
    count = micro_batch * sequence / job.cp
    held = memory(job, count, micro_batches)
    twice = held.recomputed
    tokens = Tokens(count, sequence, twice, twice)
    if job.recompute == "selective":
        tokens = Tokens(count, sequence, np.ones(n), np.full(n, job.by.selective))

    bill = Bill(n, TRAINING_OPERATORS)
    work(bill, job, tokens)
    _gather(bill, job, bill.seconds_of())
    layers = bill.seconds_of()
    head(bill, job, tokens)
    heads = bill.seconds_of() - layers

    # The fullest stage holds its part of the layers, and the head where layers divide evenly; else the head takes
    # the place that is left.
    pp = job.to.pp
    share = stage_share(job.model, job.to)
    even = np.abs(share * pp - 1.0) < 1e-9
    last = np.where(even, heads, np.maximum((layers + heads) / pp - layers * share, 0.0))
    for name in LAYER_OPERATORS:
        bill.scale(name, micro_batches * share)
    bill.scale("head", micro_batches * last / heads)
    one = layers * share + last
    bill.add("bubble", overhead=one * (pp - 1) / job.chunks)
    if not job.frozen:
        _reduce(bill, job, one)
    lost = bill.seconds_of() * job.by.straggle * np.log2(np.maximum(job.chips / NODE, 1.0))
    bill.add("engine", overhead=job.by.step_s + lost)
    return bill.times(), held


def _gather(bill: Bill, job: Job, worked: FloatArray) -> None:
    """Where data ranks share weights out, each micro-batch gathers them (ZeRO-3 again going back) and scatters
    gradients; part hides behind the work.
    """
    if job.state == "zero1" or job.frozen:
        return
    dense, experts = job.weights()
    gathers = 2.0 if job.state == "zero3" else 1.0
    moved = gathers * WEIGHT_BYTES + job.by.gradient_bytes
    comm = job.ring(dense * moved, job.data, job.to.tp) + job.ring(
        experts * moved, job.expert_data, job.to.tp * job.to.expert_dp
    )
    comm = comm + job.model.architecture.layers * (gathers + 1.0) * job.latency(job.data, job.to.tp)
    hidden = np.minimum(job.by.overlap * comm, worked)
    bill.add("weight gathering", link=comm - hidden)


def _reduce(bill: Bill, job: Job, last: FloatArray) -> None:
    """Gradients are summed and scattered, new weights gathered; part hides behind the last micro-batch."""
    dense, experts = job.weights()
    if job.state == "zero1":
        moved = job.by.gradient_bytes + WEIGHT_BYTES
        comm = job.ring(dense * moved, job.data, job.to.tp)
        comm = comm + job.ring(experts * moved, job.expert_data, job.to.tp * job.to.expert_dp)
        hidden = np.minimum(job.by.overlap * comm, last)
        bill.add("gradients", link=comm - hidden)
    held = dense / job.data + experts / job.expert_data
    bill.add("optimizer", memory=UPDATE_BYTES * held / job.bandwidth)
