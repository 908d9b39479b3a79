"""One pass of tokens through all layers of a model, priced operator by operator. Serving and training both build on it.

Knows how many tokens of which kind come by; nothing of requests, steps or batches in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eke.cost._bill import Priced, Term
from eke.cost.collectives import Group, send
from eke.cost.kernels import ACTIVATION_BYTES, gemm, stream
from eke.cost.layers import Layers, Sharding, cache_width, input_values, kv_share, output_values, reaches
from eke.cost.machine import Machine
from eke.cost.tables import FloatArray, Layouts
from eke.figures import Precision
from eke.models.architecture import Attention, FeedForward
from eke.models.variant import Variant

OPERATORS = (
    "attention in", "attention prefill", "attention decode", "attention out", "mlp", "experts", "elementwise", "head",
    "tensor all-reduce", "expert all-to-all", "pipeline send", "engine",
)  # fmt: skip

# Kernel launches of one layer, by operator; what a fused serving engine issues.
LAUNCHES = {"attention in": 2, "attention": 2, "attention out": 1, "mlp": 2, "elementwise": 3}
# More beside the projections: MLA's second step down and up, its norms and its absorbed product; a linear mixer's
# convolution, gates and norms.
MORE = {"mla": 4.0, "linear": 4.0}
QUANTISE = 0.5  # a product in 8 bits or fewer needs its input quantised: a kernel, half the time fused into the last


# A token is written once for each of its experts, and their results are read to be summed.
COPY_PASSES = 4.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one pass carries on one data rank. All [n].

    Attributes:
        fresh: prompt tokens, read after `past` cached ones. rows: tokens that need logits.
        parts: equal sequences the fresh tokens consist of, each attending only to itself.
        filled: tokens of the mean data rank over those of this one, the fullest: experts see the mean.
        sequences: sequences that decode, at `context` tokens: `each` tokens at once, one and those drafted for it.
        all: tokens that go through every matrix product.
    """

    fresh: FloatArray
    past: FloatArray
    rows: FloatArray
    sequences: FloatArray
    context: FloatArray
    parts: FloatArray
    filled: Term = 1.0
    each: Term = 1.0

    all: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "all", self.fresh + self.sequences * self.each)


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything that stays fixed while layers are priced."""

    on: Machine
    model: Layers
    variant: Variant
    layouts: Layouts
    to: Sharding
    rate: float  # FLOP/s of weight products
    rate16: float  # FLOP/s at 16-bit peak, before efficiency
    weight_bytes: float
    head_bytes: float
    wide_rate: float  # of attention's products
    wide_bytes: float
    out_rate: float  # of attention's last and shared experts'
    out_bytes: float
    experts: float  # share of `rate` that grouped products reach
    experts_memory: float  # and of its streaming
    routing_s: float  # what a layer of experts costs beyond them
    issuing_s: float  # least that the host takes to issue a pass that reads prompts, operation by operation
    in_turn: bool = False  # host and chip wait for each other, layer by layer
    sequence_parallel: bool = False  # tensor ranks share out the tokens between products (training)


def prepare(
    on: Machine, model: Layers, variant: Variant, layouts: Layouts, to: Sharding, *, sequence_parallel: bool = False
) -> Pass:
    """Fix rates and weight sizes for one variant on one machine."""
    p = on.profile
    wanted: Precision = p.computes_in or variant.compute
    vector = wanted == "fp32" or on.chip.kind == "cpu"  # a CPU's attention is vector code: it follows the fp32 rate
    sixteen = on.precision("fp32" if vector else "bf16")  # elsewhere attention runs in 16 bits, whatever the weights
    held: Precision = "fp4" if variant.weight_bits < 8.0 and wanted != "fp32" else wanted
    tables = (p.experts, p.experts_memory, p.experts_s)
    experts = [table.get(held, table.get("bf16", max(table.values()))) for table in tables]
    head_bits = max(p.head_bits or 0.0, variant.weight_bits)
    wide = on.rate(wanted if variant.wide_bits is None else "bf16"), (variant.wide_bits or variant.weight_bits) / 8
    out = (on.rate(wanted), variant.weight_bits / 8) if variant.narrow_out else wide
    return Pass(
        on, model, variant, layouts, to, on.rate(wanted), on.chip.flops[sixteen],
        variant.weight_bits / 8, head_bits / 8,
        *wide, *out,
        experts[0], experts[1], p.routing * experts[2], p.launch_s * model.issued(p.engine), model.in_turn(p.engine),
        sequence_parallel,
    )  # fmt: skip


def forward(bill: Priced, of: Pass, tokens: Tokens) -> None:
    """Put one pass through all layers, all pipeline stages in turn, on the bill."""
    for count, a in of.model.attention:
        if a.kind != "none":
            _attention(bill, of, tokens, a, count)
    for count, f in of.model.feed_forward:
        _channels(bill, of, tokens, f, count)
    _head(bill, of, tokens)
    _elementwise(bill, of, tokens)
    hops = of.to.pp - 1
    link, latency = send(of.on, tokens.all * of.model.hidden * ACTIVATION_BYTES, of.layouts.chips)
    bill.add("pipeline send", link=hops * link, overhead=hops * latency)


def _attention(bill: Priced, of: Pass, t: Tokens, a: Attention, count: int) -> None:
    on, to, h = of.on, of.to, of.model.hidden
    launch = on.profile.kernel_s * count
    n_in = input_values(a, h, to) / h
    compute, memory = gemm(on, of.wide_rate, t.all, n_in, h, of.wide_bytes, count=count)
    quantise, last = (QUANTISE * (held < ACTIVATION_BYTES) for held in (of.wide_bytes, of.out_bytes))
    launches = LAUNCHES["attention in"] + MORE.get(a.kind, 0.0) + quantise
    bill.add("attention in", compute, memory, overhead=launch * launches)
    k_out = output_values(a, h) / h / to.tp
    compute, memory = gemm(on, of.out_rate, t.all, h, k_out, of.out_bytes, count=count)
    bill.add("attention out", compute, memory, overhead=launch * (LAUNCHES["attention out"] + last))
    price = _linear if a.kind == "linear" else _softmax
    price(bill, of, t, a, count)


def _softmax(bill: Priced, of: Pass, t: Tokens, a: Attention, count: int) -> None:
    """Scores and values over the cache.

    FLOP of a token at context c: 2 heads (d_qk + d_v) c. MLA decodes in the compressed space (DeepSeek-V2, absorbed
    projections): d_qk = rank + rope, d_v = rank, and every head reads the same cache.
    """
    on, to, p = of.on, of.to, of.on.profile
    launch = p.kernel_s * count * LAUNCHES["attention"]
    heads = a.heads / to.tp
    cache = cache_width(a) * kv_share(a, to) * (of.variant.kv_bits / 8)  # bytes a token, a layer
    index = a.index_dim / a.compression * (of.variant.kv_bits / 8)

    compressed = float(2 * a.kv_rank + a.rope_dim)
    launch = launch + count * p.selecting_s * (a.selects is not None)
    reads = t.fresh > 0
    if reads.any():
        each = t.fresh / t.parts
        width = 2.0 * heads * (a.head_dim + a.v_head_dim)
        if a.kind == "mla" and a.selects is not None:  # chosen tokens are read in the compressed space
            width = 2.0 * np.maximum(heads, p.sparse_heads) * compressed
        seen, span = np.zeros_like(each), np.zeros_like(each)
        for entries, most in reaches(a):
            seen += entries * (visible(each, t.past, most) + reads * p.pad_query * _last(each, t.past, most) / 2)
            span += entries * (each + (t.past if most is None else np.minimum(t.past, most)))
        moved = reads * t.parts * span * cache + t.fresh * heads * (a.head_dim + a.v_head_dim) * ACTIVATION_BYTES
        bill.add(
            "attention prefill",
            count * width * t.parts * seen / (of.rate16 * p.attention),
            count * moved / (on.bandwidth * p.attention_memory),
            overhead=launch * reads,
        )

    decodes = t.sequences > 0
    context = np.zeros_like(t.context)
    for entries, most in reaches(a):
        context += entries * (t.context if most is None else np.minimum(t.context, most))
    width = 2.0 * heads * (compressed if a.kind == "mla" else a.head_dim + a.v_head_dim)
    moved = t.sequences * (context * cache + t.context * index) + decodes * p.ramp_bytes
    bill.add(
        "attention decode",
        count * width * t.sequences * t.each * context / (of.rate16 * p.attention_decode),
        count * moved / (on.bandwidth * p.attention_memory),
        overhead=launch * decodes,
    )


def _linear(bill: Priced, of: Pass, t: Tokens, a: Attention, count: int) -> None:
    """A constant-state mixer: a token updates and reads the state, 4 FLOP a value; decoding moves it once each way."""
    on, p = of.on, of.on.profile
    launch = p.kernel_s * count * LAUNCHES["attention"]
    state = a.state / of.to.tp
    bill.add(
        "attention prefill",
        count * 4.0 * state * t.fresh / (of.rate16 * p.attention),
        count * stream(on, t.fresh * a.heads * a.v_head_dim * 3 * ACTIVATION_BYTES / of.to.tp),
        overhead=launch * (t.fresh > 0),
    )
    bill.add(
        "attention decode",
        count * 4.0 * state * t.sequences * t.each / (of.rate16 * p.attention_decode),
        count * stream(on, 2.0 * 2.0 * state * t.sequences),
        overhead=launch * (t.sequences > 0),
    )


def visible(fresh: FloatArray, past: FloatArray, window: float | None) -> FloatArray:
    """Pairs (query, key) of `fresh` causal tokens after `past`: sum of min(past + i, window), i = 1 … fresh. [n]"""
    if window is None:
        return fresh * (past + (fresh + 1) / 2)
    growing = np.clip(window - past, 0.0, fresh)
    return growing * (past + (growing + 1) / 2) + (fresh - growing) * window


def _last(fresh: FloatArray, past: FloatArray, window: float | None) -> FloatArray:
    """Keys the last query sees. [n]"""
    return past + fresh if window is None else np.minimum(past + fresh, window)


def _channels(bill: Priced, of: Pass, t: Tokens, f: FeedForward, count: int) -> None:
    width = f.shared_intermediate if f.experts else f.intermediate
    if width:
        _dense(bill, of, t, width, f.matrices, count, wide=bool(f.experts))
    exchanged: Term = 0.0
    if f.experts:
        _experts(bill, of, t, f, count)
        exchanged = _exchange(bill, of, t, f, count)
    # Attention and feed-forward each end in one all-reduce over tp; the exchange between experts replaces the second.
    group = Group(of.on, of.layouts.tp)
    link, latency = group.all_reduce(t.all * of.model.hidden * ACTIVATION_BYTES)
    times = count * (2.0 - exchanged)
    bill.add("tensor all-reduce", link=times * link, overhead=times * latency)


def _dense(bill: Priced, of: Pass, t: Tokens, width: int, matrices: int, count: int, *, wide: bool) -> None:
    h, local = of.model.hidden, width / of.to.tp
    rate, held = (of.out_rate, of.out_bytes) if wide else (of.rate, of.weight_bytes)
    up_c, up_m = gemm(of.on, rate, t.all, (matrices - 1) * local, h, held, count=count)
    down_c, down_m = gemm(of.on, rate, t.all, h, local, held, count=count)
    launch = of.on.profile.kernel_s * (LAUNCHES["mlp"] + 2.0 * QUANTISE * (held < ACTIVATION_BYTES))
    bill.add("mlp", up_c + down_c, up_m + down_m, overhead=count * launch)


def touched(tokens: FloatArray, experts: Term, chosen: int) -> FloatArray:
    """Expected number of distinct experts that `tokens` tokens choose, `chosen` each: E (1 - (1 - K/E)^T). [n]"""
    missed = np.minimum(chosen / experts, 1.0 - 1e-12)
    distinct: FloatArray = np.asarray(-experts * np.expm1(tokens * np.log1p(-missed)), dtype=np.float64)
    return distinct


def _experts(bill: Priced, of: Pass, t: Tokens, f: FeedForward, count: int) -> None:
    """Routed experts of the busiest rank: as many products as experts touched, each over its share of the tokens."""
    on, to, width = of.on, of.to, f.latent or of.model.hidden
    tokens = t.all * t.filled * to.expert_dp
    busy = 1.0 + (on.profile.imbalance - 1.0) * (1.0 - 1.0 / to.ep)
    choosing = tokens * on.profile.variety
    distinct = np.minimum(touched(choosing, f.experts, f.experts_per_token) * busy, f.experts) / to.ep
    m = tokens * f.experts_per_token * busy / to.ep / np.maximum(distinct, 1e-9)
    local = f.intermediate / to.expert_tp
    up_c, up_m = gemm(on, of.rate, m, (f.matrices - 1) * local, width, of.weight_bytes, distinct, count)
    down_c, down_m = gemm(on, of.rate, m, width, local, of.weight_bytes, distinct, count)
    compute, memory = (up_c + down_c) / of.experts, (up_m + down_m) / of.experts_memory
    bill.add("experts", compute, memory, overhead=count * of.routing_s)


def _exchange(bill: Priced, of: Pass, t: Tokens, f: FeedForward, count: int) -> FloatArray:
    """Where data ranks meet, tokens go to their experts and come back; elsewhere tp's all-reduce does it. [n]

    To no more ranks than a token has experts, engines do not send it but gather all tokens everywhere and scatter the
    sums (TensorRT-LLM's select_alltoall_method_type; vLLM's default), in 16 bits, or there in 4; SGLang by all-reduces
    of all tokens where prompts are read (DpPaddingMode.SUM_LEN).
    """
    to, on = of.to, of.on
    meets = (to.expert_dp > 1).astype(np.float64)
    ranks = touched(np.ones_like(to.ep) * f.experts_per_token, to.ep, 1)  # distinct ones a token goes to
    own = t.all * t.filled * to.expert_dp / to.ep * of.model.hidden  # values of the tokens of one rank
    group = Group(on, (to.ep * to.expert_tp).astype(np.int64))
    # To another domain a token goes once, and on from there over the fast link (DeepEP's README).
    domains = touched(np.ones_like(to.ep) * f.experts_per_token, group.domains, 1) * (1.0 - 1.0 / group.domains)
    held = np.minimum(of.weight_bytes, ACTIVATION_BYTES)  # there in the products' precision
    there, latency = group.all_to_all(own * ranks * held, own * domains * held)
    back, _ = group.all_to_all(own * ranks * ACTIVATION_BYTES, own * domains * ACTIVATION_BYTES)
    few = (group.ranks <= f.experts_per_token) & (np.asarray(on.profile.gathers) > 0)
    if few.any():
        a_byte, _ = group.reduce_scatter(own * group.ranks)
        summed = (np.asarray(on.profile.gathers) > 1) & (t.fresh > 0)
        narrow = np.where((of.weight_bytes < 1.0) & ~summed, held, ACTIVATION_BYTES)
        there = np.where(few, a_byte * narrow * (1.0 + summed), there)
        back = np.where(few, a_byte * ACTIVATION_BYTES * (1.0 + summed), back)
        latency = np.where(few, on.profile.latency_gather_s * np.sqrt(group.ranks / 8.0), latency)
    every = count * meets
    bill.add("expert all-to-all", link=every * (there + back), overhead=2.0 * every * latency)
    return meets


def _head(bill: Priced, of: Pass, t: Tokens) -> None:
    architecture, on = of.model.architecture, of.on
    rows = t.rows
    compute, memory = gemm(on, of.rate, rows, architecture.vocabulary / of.to.tp, architecture.hidden, of.head_bytes)
    some = rows > 0
    bill.add("head", some * compute, some * memory, overhead=on.profile.kernel_s * 2 * some)


def _elementwise(bill: Priced, of: Pass, t: Tokens) -> None:
    """Norms, residuals, positions and activations: passes over residual stream, gated widths, experts' copies."""
    architecture, p = of.model.architecture, of.on.profile
    active = sum(
        count * (f.experts_per_token * f.intermediate + f.shared_intermediate if f.experts else f.intermediate)
        for count, f in of.model.feed_forward
    )
    copies = sum(count * f.experts_per_token * (f.latent or architecture.hidden) for count, f in of.model.feed_forward)
    shared = of.to.tp if of.sequence_parallel else 1.0
    stream_values = p.elementwise * architecture.layers * architecture.hidden + COPY_PASSES * copies * t.filled
    values = stream_values / shared + 3.0 * active / of.to.tp
    launches = p.kernel_s * LAUNCHES["elementwise"] * architecture.layers
    bill.add("elementwise", memory=stream(of.on, t.all * values * ACTIVATION_BYTES), overhead=launches)
