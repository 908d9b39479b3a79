from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import strategies

from eke.cost import BOUNDS, CostModel, Layouts
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant

BF16 = Variant("bf16", 16.0, "bf16", 16.0, None)
quick = settings(max_examples=40, deadline=None)
TP = Layouts.of([1, 2, 4, 8])


@quick
@given(strategies.architectures(), strategies.accelerators())
def test_times_are_sums_of_their_operators(architecture: Architecture, chip: Chip) -> None:
    """Seconds are positive, finite, the sum of their operators, and each operator has a bound."""
    model = CostModel(architecture, chip, BF16)
    for times in (model.prefill(TP, 1000), model.decode(TP, 16, 1000), model.mixed(TP, 512, 16, 1000)):
        assert np.isfinite(times.seconds).all()
        assert (times.seconds > 0).all()
        assert (times.by_operator >= 0).all()
        assert times.by_operator.sum(axis=0) == pytest.approx(times.seconds)
        assert times.by_operator.shape == times.bound.shape == (len(times.operators), 4)
        assert set(np.unique(times.bound)) <= set(range(len(BOUNDS)))


@quick
@given(strategies.architectures(), strategies.accelerators(), st.integers(1, 64), st.integers(1, 30000))
def test_more_tensor_ranks_never_need_more_memory_a_chip(
    architecture: Architecture, chip: Chip, sequences: int, context: int
) -> None:
    """Serving and training: no part of memory grows with tp."""
    model = CostModel(architecture, chip, BF16)
    serving = model.serving_memory(TP, sequences, context).total
    training = model.training(TP, 1, 2048, 1e6)[1].total
    assert (np.diff(serving) <= 1e-6 * serving[:-1]).all()
    assert (np.diff(training) <= 1e-6 * training[:-1]).all()


@quick
@given(
    strategies.architectures(), strategies.accelerators(), st.sampled_from(["memory_bandwidth", "scale_up", "flops"])
)
def test_a_faster_chip_is_never_slower(architecture: Architecture, chip: Chip, what: str) -> None:
    """Twice the bandwidth, the link or the peaks: no prediction gets longer."""
    chip = replace(chip, scale_up=chip.scale_up or 25e9)
    more = {p: 2 * f for p, f in chip.flops.items()} if what == "flops" else 2 * getattr(chip, what)
    slow, fast = (CostModel(architecture, c, BF16) for c in (chip, replace(chip, **{what: more})))
    for ask in (
        lambda m: m.prefill(TP, 999),
        lambda m: m.decode(TP, 9, 999),
        lambda m: m.training(TP, 1, 1024, 1e6)[0],
    ):
        assert (ask(fast).seconds <= ask(slow).seconds * (1 + 1e-9)).all()


@quick
@given(strategies.architectures(), strategies.accelerators(), st.integers(1, 100_000), st.integers(1, 100_000))
def test_longer_contexts_and_larger_batches_are_never_faster(
    architecture: Architecture, chip: Chip, a: int, b: int
) -> None:
    """Prefill grows with tokens and past, decoding with context and sequences."""
    model, low, high = CostModel(architecture, chip, BF16), min(a, b), max(a, b)
    pair, one = [low, high], Layouts.of([1, 1])
    for times in (
        model.prefill(one, pair),
        model.prefill(one, 100, pair),
        model.decode(one, 8, pair),
        model.decode(one, pair, 99),
    ):
        assert times.seconds[0] <= times.seconds[1] * (1 + 1e-9)


@quick
@given(strategies.architectures(), strategies.accelerators(), st.data())
def test_a_table_is_its_rows(architecture: Architecture, chip: Chip, data: st.DataObject) -> None:
    """Predicting n rows at once equals predicting each alone."""
    degrees = data.draw(st.lists(st.tuples(*[st.sampled_from([1, 2, 4])] * 3), min_size=1, max_size=6))
    tp, pp, dp = (list(column) for column in zip(*degrees, strict=True))
    ep = [t * d for t, d in zip(tp, dp, strict=True)]
    counts = data.draw(st.lists(st.integers(1, 5000), min_size=len(tp), max_size=len(tp)))
    model, table = CostModel(architecture, chip, BF16), Layouts.of(tp, pp, ep, dp)
    whole = [
        model.prefill(table, counts).seconds,
        model.mixed(table, 64, counts, 500).seconds,
        model.max_sequences(table, counts),
        model.training(table, 1, counts, 1e6)[0].seconds,
    ]
    for i, count in enumerate(counts):
        row = Layouts.of(tp[i], pp[i], ep[i], dp[i])
        alone = [
            model.prefill(row, count).seconds,
            model.mixed(row, 64, count, 500).seconds,
            model.max_sequences(row, count),
            model.training(row, 1, count, 1e6)[0].seconds,
        ]
        for column, single in zip(whole, alone, strict=True):
            assert column[i] == pytest.approx(single[0])


@quick
@given(strategies.architectures(), strategies.accelerators(), st.integers(1, 20_000))
def test_as_many_sequences_fit_as_it_says(architecture: Architecture, chip: Chip, context: int) -> None:
    """`max_sequences` fits and one more a data rank does not, short of the cap."""
    model, layouts = CostModel(architecture, chip, BF16), Layouts.of([1, 4], dp=[1, 2])
    most = model.max_sequences(layouts, context)
    fits = model.serving_memory(layouts, np.maximum(most, 1), context).fits
    assert (fits == (most > 0)).all()
    capped = most >= 1 << 20
    assert not model.serving_memory(layouts, most + layouts.dp, context).fits[~capped].any()


def test_decoding_alone_reads_the_weights(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """One sequence on a dense model: within 60% above weight bytes over nominal bandwidth, never below."""
    step = CostModel(llama_70b, h100, bf16).decode(Layouts.of(1), 1, 100)
    weights = (llama_70b.parameters - llama_70b.embedding_parameters) * 2
    assert 1.0 < step.seconds[0] / (weights / h100.memory_bandwidth) < 1.6
    assert BOUNDS[step.bound[step.operators.index("mlp"), 0]] == "memory"


def test_long_prompts_are_bound_by_compute(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """A prompt of 8192 tokens reaches between 40% and 80% of peak on one chip."""
    times = CostModel(llama_70b, h100, bf16).prefill(Layouts.of(1), 8192)
    flop = 2 * (llama_70b.parameters - 2 * llama_70b.embedding_parameters) * 8192
    assert 0.4 < flop / times.seconds[0] / 989e12 < 0.8
    assert BOUNDS[times.bound[times.operators.index("mlp"), 0]] == "compute"


def test_caches_add_up_to_the_whole(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """Tp up to the KV heads cuts the cache, beyond it holds copies; the whole is what the architecture says."""
    model = CostModel(llama_70b, h100, bf16)
    kv = model.serving_memory(Layouts.of([1, 8, 16]), 10, 1000).kv
    assert kv[0] == pytest.approx(10 * 2 * llama_70b.kv_values(1000))
    assert kv[1] == pytest.approx(kv[0] / 8)
    assert kv[2] == pytest.approx(kv[1])


def test_weights_fall_with_every_kind_of_rank(mixtral: Architecture, h100: Chip, bf16: Variant) -> None:
    """tp, pp and ep share out the weights; a data rank without experts to share holds a copy of the rest."""
    model = CostModel(mixtral, h100, bf16)
    held = model.serving_memory(Layouts.of([1, 2, 1, 1], [1, 1, 2, 1], [1, 1, 1, 4], [1, 1, 1, 4]), 4, 100).weights
    assert held[0] == pytest.approx(2 * mixtral.parameters)
    assert held[1] == pytest.approx(held[0] / 2, rel=0.02)
    assert held[2] == pytest.approx(held[0] / 2, rel=0.02)
    experts = 2 * 32 * mixtral.blocks[0].feed_forward.parameters
    assert held[3] == pytest.approx(held[0] - experts * 3 / 4, rel=1e-6)


def test_old_chips_compute_in_what_they_have(llama_8b: Architecture, v100: Chip) -> None:
    """A V100 runs bf16, fp8 and int4 in fp16: fewer bits only move fewer bytes."""
    forms = [
        Variant(n, b, c, 16.0, None) for n, b, c in (("bf16", 16.0, "bf16"), ("fp8", 8.0, "fp8"), ("int4", 4.5, "bf16"))
    ]
    prefill = [CostModel(llama_8b, v100, form).prefill(Layouts.of(1), 8192).seconds[0] for form in forms]
    decode = [CostModel(llama_8b, v100, form).decode(Layouts.of(1), 1, 100).seconds[0] for form in forms]
    assert prefill == pytest.approx([prefill[0]] * 3, rel=0.02)
    assert decode == sorted(decode, reverse=True)
    assert decode[0] > 1.8 * decode[2]


def test_8_bits_double_the_rate_where_the_chip_can(
    llama_70b: Architecture, h100: Chip, bf16: Variant, fp8: Variant
) -> None:
    """fp8 on an H100: prefill between 1.3 and 2 times as fast, decoding alone between 1.5 and 2 times."""
    slow, fast = (CostModel(llama_70b, h100, v) for v in (bf16, fp8))
    one = Layouts.of(1)
    assert 1.3 < slow.prefill(one, 4096).seconds[0] / fast.prefill(one, 4096).seconds[0] < 2
    assert 1.5 < slow.decode(one, 1, 1000).seconds[0] / fast.decode(one, 1, 1000).seconds[0] < 2


def test_a_slow_link_costs_tensor_ranks_most(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """An H800 (half the link) is an H100 alone, slower at prefill with 8 tensor ranks, nearly alike decoding."""
    h800 = replace(h100, name="H800-SXM", scale_up=200e9, relative="H100-SXM")
    fast, slow = (CostModel(llama_70b, chip, bf16) for chip in (h100, h800))
    ratio = slow.prefill(TP, 8192).seconds / fast.prefill(TP, 8192).seconds
    assert ratio[0] == pytest.approx(1.0)
    assert ratio[3] > 1.1
    assert slow.decode(TP, 1, 100).seconds == pytest.approx(fast.decode(TP, 1, 100).seconds, rel=0.05)


def test_crossing_the_scale_up_domain_is_slower(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """Sixteen tensor ranks over two nodes: all-reduces take longer than in one; chip-seconds rise by half."""
    times = CostModel(llama_70b, h100, bf16).prefill(Layouts.of([8, 16]), 8192)
    reduce = times.by_operator[times.operators.index("tensor all-reduce")]
    assert reduce[1] > 1.2 * reduce[0]
    assert 16 * times.seconds[1] > 1.5 * 8 * times.seconds[0]


def test_unknown_links_are_said_to_be_guessed(llama_8b: Architecture, h100: Chip, bf16: Variant) -> None:
    """Without a stated scale-up speed the slow bus is assumed, and the basis says so."""
    unknown = replace(h100, scale_up=None)
    known, guessed = CostModel(llama_8b, h100, bf16), CostModel(llama_8b, unknown, bf16)
    assert guessed.basis == "guessed"
    assert guessed.prefill(TP, 4096).seconds[3] > known.prefill(TP, 4096).seconds[3]


def test_expert_ranks_hold_and_read_fewer_experts(mixtral: Architecture, h100: Chip, bf16: Variant) -> None:
    """With ep over the data ranks each reads only its own experts, and tokens travel to them."""
    model = CostModel(mixtral, h100, bf16)
    alone = model.decode(Layouts.of(2), 16, 500)
    together = model.decode(Layouts.of(1, ep=8, dp=8), 64, 500)
    experts = alone.operators.index("experts")
    assert together.by_operator[experts, 0] < alone.by_operator[experts, 0]
    assert together.by_operator[alone.operators.index("expert all-to-all"), 0] > 0
