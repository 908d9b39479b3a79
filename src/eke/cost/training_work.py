"""The work of one micro-batch, forward and backward, through all layers of a model, on one rank. Knows no step.

A product runs three times: forward, by input, by weight; and once more where its layer is computed twice.
Everything here is per micro-batch over all pipeline stages; `training.step` deals it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eke.cost._bill import Bill, Term
from eke.cost.layers import cache_width, input_values, kv_share, output_values, reaches
from eke.cost.tables import FloatArray
from eke.cost.training_job import Job
from eke.models.architecture import Attention, FeedForward

LAYER_OPERATORS = (
    "attention in", "attention", "attention out", "mlp", "experts", "elementwise",
    "tensor exchange", "context exchange", "expert all-to-all", "pipeline send", "weight gathering", "launches",
)  # fmt: skip

BYTES = 2.0  # activations travel in 16 bits
BACKWARD_ATTENTION = 2.5  # flash attention: four products backward and the scores again, over two forward
RESIDUAL_PASSES = 10.0  # over the residual stream of a layer: two norms, two sums, positions, in and out
GATE_PASSES = 3.0  # over the widest activation
COPY_PASSES = 4.0  # a token is written once for each of its experts, and their results are read to be summed
LOGIT_BYTES = 16.0  # moved a logit: written and read in 16 bits, softmax and its gradient in 32
EXPERT_PRODUCTS, EXPERT_OPERANDS, TENSOR_CAST = 6.0, 4.0, 4.0  # calls of an expert, see `_launches`
CAST = ("fp8", "fp4", "int8")
MOST_ATTENTION = 0.75  # of peak: the best kernels on any chip (FlashAttention-3, arXiv 2407.08608: 0.75 on H100)
MASK_TILE = 128.0  # keys; half a tile on the diagonal is computed for nothing
# Exponentials of a score cost as much as so many values of head width: matrix units grew from A100 to B200, the units
# for exponentials did not (16 a clock and multiprocessor beside 4,096 FLOP on an H100: 64 values; half of it hides).
SOFTMAX_WIDTH, AT_FLOP_PER_S, USUAL_WIDTH = 32.0, 989e12, 128.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """A micro-batch on one rank: tokens [n] of sequences of `sequence` [n] tokens, and what is computed twice.

    Attributes:
        again: [n] share of layers computed twice. again_products: [n] the same for products and exchanges.
    """

    count: FloatArray
    sequence: FloatArray
    again: FloatArray
    again_products: FloatArray


def work(bill: Bill, job: Job, t: Tokens) -> None:
    """Put all layers of one micro-batch, forward and backward, on the bill."""
    for count, a in job.model.attention:
        if a.kind != "none":
            _attention(bill, job, t, a, count)
    for count, f in job.model.feed_forward:
        _channels(bill, job, t, f, count)
    _elementwise(bill, job, t)
    _launches(bill, job, t)
    _sends(bill, job, t)


def _passes(job: Job, t: Tokens) -> FloatArray:
    """Times a product runs. [n]"""
    return (2.0 if job.frozen else 3.0) + t.again_products


def _product(
    bill: Bill, job: Job, t: Tokens, name: str, m: Term, n: Term, k: Term, count: float, copies: Term = 1.0
) -> None:
    """`count` layers of `copies` products [m,k]·[k,n], with what quantising their inputs costs."""
    p, times = job.by.pad, _passes(job, t) * count
    pad_m, rate = (job.by.pad_expert, job.by.experts) if name == "experts" else (p, 1.0)
    compute = times * copies * ((m + pad_m) * ((n + p) * (k + p))) * (2.0 / rate / job.rate(job.precision))
    memory = times * copies * (n * k + m * (n + k)) * (BYTES / job.bandwidth)
    bill.add(name, compute, memory)
    if job.precision in CAST:
        cast = copies * m * (k * (1.0 + t.again_products) + n) * (count * job.by.cast / job.bandwidth)
        bill.add("elementwise", memory=cast)


def _attention(bill: Bill, job: Job, t: Tokens, a: Attention, count: int) -> None:
    h, tp = job.model.hidden, job.to.tp
    _product(bill, job, t, "attention in", t.count, input_values(a, h, job.to) / h, h, count)
    _product(bill, job, t, "attention out", t.count, h, output_values(a, h) / h / tp, count)
    times = 1.0 + t.again + BACKWARD_ATTENTION / job.by.attention_back
    sixteen = job.on.precision("fp32" if job.on.chip.kind == "cpu" else "bf16")
    share = min(job.by.attention * job.by.framework * job.by.attention_kernel, MOST_ATTENTION)
    rate = job.on.chip.flops[sixteen] * share
    if a.kind == "linear":
        bill.add("attention", times * t.count * (count * 4.0 * a.state / rate) / tp)
    else:
        keys = np.zeros_like(t.sequence)
        for entries, most in reaches(a):
            keys += entries * (_mean_keys(t.sequence, most) + MASK_TILE / 2)
        softmax = SOFTMAX_WIDTH * job.on.chip.flops[sixteen] / AT_FLOP_PER_S
        width = ((a.head_dim + a.v_head_dim) / 2 + softmax) * USUAL_WIDTH / (USUAL_WIDTH + softmax)
        flop = 4.0 * a.heads * width / tp * t.count * keys
        bill.add("attention", count * times * flop / rate)
        if job.by.score_bytes:
            scores = a.heads / tp * t.count * t.sequence
            bill.add("attention", memory=count * scores * (job.by.score_bytes / job.bandwidth))
    if (job.cp > 1).any():
        _context(bill, job, t, a, count)


def _mean_keys(sequence: FloatArray, most: float | None) -> FloatArray:
    """Mean of min(i, most) over i = 1 … sequence. [n]"""
    w = sequence if most is None else np.minimum(sequence, most)
    keys: FloatArray = w * (1.0 - (w - 1.0) / (2.0 * sequence))
    return keys


def _context(bill: Bill, job: Job, t: Tokens, a: Attention, count: int) -> None:
    """Keys and values of a sequence's other parts, forward; once more and their gradients, backward."""
    width = cache_width(a) * kv_share(a, job.to)
    if a.kind == "mla":  # exchanged as every head's own
        width = a.heads * (a.head_dim + a.v_head_dim) / job.to.tp
    size = t.count * job.cp * width * BYTES
    seconds = job.ring(size, job.cp, job.to.tp) * count * (3.0 + t.again)
    bill.add("context exchange", link=seconds * (1.0 - job.by.overlap_cp))


def _channels(bill: Bill, job: Job, t: Tokens, f: FeedForward, count: int) -> None:
    h, tp = job.model.hidden, job.to.tp
    width = f.shared_intermediate if f.experts else f.intermediate
    if width:
        _product(bill, job, t, "mlp", t.count, (f.matrices - 1) * width / tp, h, count)
        _product(bill, job, t, "mlp", t.count, h, width / tp, count)
    meets: Term = 0.0
    if f.experts:
        _experts(bill, job, t, f, count)
        meets = _exchange(bill, job, t, f, count)
    # Sequence parallelism: attention and feed-forward each gather and scatter, and gather once more going back.
    one = job.ring(t.count * h * BYTES, tp, np.ones_like(tp)) * (1.0 - job.by.overlap_tp)
    bill.add("tensor exchange", link=count * one * (2.0 - meets) * (5.0 + 2.0 * t.again_products))


def _experts(bill: Bill, job: Job, t: Tokens, f: FeedForward, count: int) -> None:
    """Routed experts of the busiest rank: grouped products, and copies of tokens brought together and apart."""
    to, width = job.to, f.latent or job.model.hidden
    busy = 1.0 + (job.by.imbalance - 1.0) * (1.0 - 1.0 / to.ep)
    held = f.experts / to.ep
    rows = t.count * to.expert_dp * f.experts_per_token * busy / to.ep
    local = f.intermediate / to.expert_tp
    _product(bill, job, t, "experts", rows / held, (f.matrices - 1) * local, width, count, copies=held)
    _product(bill, job, t, "experts", rows / held, width, local, count, copies=held)
    moved = rows / to.expert_tp * width * (COPY_PASSES * BYTES * job.by.elementwise)
    bill.add("elementwise", memory=(2.0 + t.again) * moved * (count / job.bandwidth))


def _exchange(bill: Bill, job: Job, t: Tokens, f: FeedForward, count: int) -> FloatArray:
    """Tokens go to their experts' ranks and come back, forward and backward. [n] 1 where they do.

    A token crosses to a domain once, however many of its K experts are there: (d-1)(1 - (1-1/d)^K) crossings.
    """
    to = job.to
    meets = (to.expert_dp > 1).astype(np.float64)
    inside = np.clip(job.on.domain / to.expert_tp, 1.0, to.ep)
    domains = np.ceil(to.ep / inside)
    k = f.experts_per_token
    crossings = (domains - 1.0) * (1.0 - (1.0 - 1.0 / domains) ** k)
    size = t.count / to.tp * job.model.hidden * BYTES
    seconds = size * np.maximum(k * (inside - 1.0) / inside / job.up, crossings / job.out)
    latency = job.latency(to.ep, to.expert_tp)
    times = count * meets * (4.0 + 2.0 * t.again_products)
    bill.add("expert all-to-all", link=times * seconds * (1.0 - job.by.overlap_ep), overhead=times * latency)
    return meets


def _launches(bill: Bill, job: Job, t: Tokens) -> None:
    """What the chip waits for its host: gaps at every layer, and the time by which calling a rank's experts one by one
    takes the host longer than the layers' work takes the chip.

    Reasoned from how Transformer Engine's grouped linear layers work, neither traced nor measured: an expert has 2
    products, each run forward, by input and by weight, and 4 operands to quantise. Where units scale by blocks (chips
    with 4-bit floats) one call an operand is taken, elsewhere four: largest value, scale, cast, transpose.
    """
    calls = EXPERT_PRODUCTS
    if job.precision in CAST:
        calls += EXPERT_OPERANDS * (1.0 if "fp4" in job.on.chip.flops else TENSOR_CAST)
    held = sum(count * f.experts for count, f in job.model.feed_forward) / job.to.ep
    host = job.by.call_s * calls * held * (3.0 + t.again) / 3.0
    waits = np.maximum(host - bill.seconds_of(), 0.0)
    bill.add("launches", overhead=job.by.layer_s * job.model.architecture.layers + waits)


def _elementwise(bill: Bill, job: Job, t: Tokens) -> None:
    """Norms, residuals, positions and gates; backward moves twice as much."""
    a = job.model.architecture
    active = sum(
        count * (f.experts_per_token * f.intermediate + f.shared_intermediate if f.experts else f.intermediate)
        for count, f in job.model.feed_forward
    )
    values = (RESIDUAL_PASSES * a.layers * a.hidden + GATE_PASSES * active) * job.by.elementwise
    bill.add("elementwise", memory=t.count / job.to.tp * (3.0 + t.again) * (values * BYTES / job.bandwidth))


def _sends(bill: Bill, job: Job, t: Tokens) -> None:
    """Each piece of the model hands its output on, and its gradient back; all hops of one micro-batch."""
    hops = job.chunks * job.to.pp - 1.0
    near = job.chips <= job.on.domain
    size = t.count / job.to.tp * job.model.hidden * BYTES
    link = size / np.where(near, job.up, job.out)
    late = np.where(near, job.by.latency_up_s, job.by.latency_out_s)
    bill.add("pipeline send", link=2.0 * hops * link * (1.0 - job.by.overlap), overhead=2.0 * hops * late)


def head(bill: Bill, job: Job, t: Tokens) -> None:
    """Output matrix and loss, in 16 bits."""
    a, p = job.model.architecture, job.by.pad
    local = a.vocabulary / job.to.tp
    passes = 2.0 if job.frozen else 3.0
    compute = passes * (t.count + p) * (local + p) * ((a.hidden + p) * 2.0 / job.rate(job.sixteen))
    bill.add("head", compute)
    bill.add("head", memory=t.count * local * (LOGIT_BYTES / job.bandwidth))
