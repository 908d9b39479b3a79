"""What a training job may choose: recomputation, sharding, context ranks, pieces, frozen weights, frameworks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.cost import CostModel, Layouts, Times, trainers
from eke.cost.training_job import Recompute, State
from eke.errors import InputError, UnknownName
from eke.figures import Precision
from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant


@pytest.fixture
def model(llama_8b: Architecture, h100: Chip, bf16: Variant) -> CostModel:
    return CostModel(llama_8b, h100, bf16, engine="megatron")


def _part(times: Times, name: str) -> float:
    return float(times.by_operator[times.operators.index(name)][0])


def test_stated_recomputation_is_taken_as_stated(model: CostModel) -> None:
    """Full recomputation costs one more forward pass of three or four, whether memory asks for it or not."""
    layout = Layouts.of(1, dp=8)
    none, held = model.training(layout, 1, 2048, 1e6, recompute="none")
    full, less = model.training(layout, 1, 2048, 1e6, recompute="full")
    assert (held.recomputed[0], less.recomputed[0]) == (0, 1)
    assert 1.2 < full.seconds[0] / none.seconds[0] < 1.34
    assert less.activations[0] < held.activations[0]


def test_selective_recomputation_lies_between(model: CostModel) -> None:
    """Selective recomputation repeats what is cheap: slower than none, faster than full; holds less than none."""
    layout = Layouts.of(1, dp=8)
    steps = [model.training(layout, 1, 2048, 1e6, recompute=r) for r in ("none", "selective", "full")]
    seconds = [float(t.seconds[0]) for t, _ in steps]
    held = [float(m.activations[0]) for _, m in steps]
    assert seconds == sorted(seconds)
    assert held == sorted(held, reverse=True)


def test_sharing_weights_out_saves_memory_and_costs_traffic(model: CostModel) -> None:
    """ZeRO-3 holds 16 bytes a parameter over the ranks and gathers weights each micro-batch; ZeRO-1 does neither."""
    layout = Layouts.of(1, dp=16)
    one, held = model.training(layout, 1, 2048, 16 * 2048.0 * 8, recompute="none", sharding="zero1")
    three, less = model.training(layout, 1, 2048, 16 * 2048.0 * 8, recompute="none", sharding="zero3")
    assert less.weights[0] + less.optimizer[0] < (held.weights[0] + held.optimizer[0]) / 2
    assert _part(one, "weight gathering") == 0
    assert _part(three, "weight gathering") > 0
    assert _part(three, "gradients") == 0


def test_context_ranks_share_a_sequence(model: CostModel) -> None:
    """Two context ranks halve attention and activations of a rank, add an exchange, and lose tokens/s of a chip."""
    layout = Layouts.of(1, dp=4)
    whole, held = model.training(layout, 1, 65536, 4 * 65536.0, recompute="full")
    cut, less = model.training(layout, 1, 65536, 4 * 65536.0, recompute="full", context_parallel=2)
    assert _part(cut, "attention") == pytest.approx(_part(whole, "attention") / 2)
    assert less.activations[0] < 0.7 * held.activations[0]
    assert _part(whole, "context exchange") == 0 < _part(cut, "context exchange")
    assert 0.5 < cut.seconds[0] / whole.seconds[0] < 0.75


def test_more_pieces_of_a_stage_wait_less(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """The bubble falls with the pieces a pipeline rank holds."""
    model = CostModel(llama_70b, h100, bf16, engine="megatron")
    bubbles = [
        _part(model.training(Layouts.of(8, 8), 1, 4096, 4096 * 32.0, virtual_stages=v)[0], "bubble") for v in (1, 5)
    ]
    assert bubbles[0] == pytest.approx(5 * bubbles[1], rel=0.01)


def test_the_head_waits_for_nobody_where_layers_leave_room(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """80 layers on 8 stages: the head makes the last stage longer. On 6: stages of 14 leave it room."""
    model = CostModel(llama_70b, h100, bf16, engine="megatron")
    even, uneven = (model.training(Layouts.of(8, pp), 1, 4096, 4e6)[0] for pp in (8, 6))
    assert _part(even, "head") > 0
    assert _part(uneven, "head") == 0


def test_frozen_weights_need_no_gradients(model: CostModel) -> None:
    """Adapters: two products of three, no gradients, no optimizer state."""
    layout = Layouts.of(1, dp=8)
    trained, held = model.training(layout, 1, 8192, 1e6, recompute="none")
    frozen, less = model.training(layout, 1, 8192, 1e6, recompute="none", frozen=True)
    assert _part(frozen, "mlp") == pytest.approx(_part(trained, "mlp") * 2 / 3)
    assert (_part(frozen, "gradients"), _part(frozen, "optimizer")) == (0, 0)
    assert less.optimizer[0] == 0 < held.optimizer[0]


def _finer(mixtral: Architecture) -> Architecture:
    """Eight times the experts of an eighth the width."""
    block = mixtral.blocks[0]
    f = block.feed_forward
    small = replace(f, intermediate=f.intermediate // 8, experts=64, experts_per_token=16)
    return replace(mixtral, name="many", blocks=(replace(block, feed_forward=small),))


def test_many_small_experts_are_slower_than_their_flop(mixtral: Architecture, h100: Chip, bf16: Variant) -> None:
    """Eight times the experts of an eighth the width: equal FLOP, more time."""
    many = _finer(mixtral)
    seconds = [
        CostModel(a, h100, bf16, engine="megatron-bridge").training(Layouts.of(1, 1, 8, 8), 1, 4096, 1e6)[0].seconds[0]
        for a in (mixtral, many)
    ]
    assert seconds[1] > 1.2 * seconds[0]


def test_a_host_that_calls_expert_by_expert_is_waited_for_where_work_is_short(
    mixtral: Architecture, h100: Chip, bf16: Variant
) -> None:
    """Few tokens: the chip waits, longer in 8 bits (operands to quantise). Many: only for the gaps between layers."""
    model = CostModel(_finer(mixtral), h100, bf16, engine="megatron-bridge")
    gaps = mixtral.layers * trainers.find(h100, "megatron-bridge").layer_s

    def waits(tokens: int, precision: Precision) -> float:
        times, _ = model.training(Layouts.of(1, 1, 8, 8), 1, tokens, tokens * 8, precision)
        return _part(times, "launches")

    assert waits(16, "fp8") > 2 * waits(16, "bf16") > 4 * gaps
    assert waits(65536, "bf16") == pytest.approx(gaps)


def test_frameworks_differ_and_unknown_ones_are_refused(llama_8b: Architecture, h100: Chip, bf16: Variant) -> None:
    """Every framework trains; one nobody fitted is named."""
    for family in trainers.families():
        times, _ = CostModel(llama_8b, h100, bf16, engine=family).training(Layouts.of(2, dp=4), 1, 4096, 1e6)
        assert times.seconds[0] > 0
    with pytest.raises(UnknownName, match="frobnicate"):
        trainers.find(h100, "frobnicate")


def test_unknown_training_coefficients_are_refused() -> None:
    """A misspelt coefficient is named, and so is a missing one."""
    with pytest.raises(InputError, match="gemmm"):
        trainers.build({"gemmm": 1})
    with pytest.raises(InputError, match="attention"):
        trainers.build({"gemm": {}})


def test_a_relative_lends_its_shares_and_widens_the_interval(h100: Chip) -> None:
    """An H800 trains with an H100's shares, less surely; a chip nobody knows less surely still."""
    lent = trainers.find(replace(h100, name="H800-SXM", relative="H100-SXM"), "megatron")
    unknown = trainers.find(replace(h100, name="X1", relative=None), "megatron")
    own = trainers.find(h100, "megatron")
    assert lent.gemm == own.gemm
    assert (own.basis, lent.basis, unknown.basis) == ("measured", "modelled", "guessed")
    assert own.spread < lent.spread < unknown.spread


@given(
    tp=st.sampled_from([1, 2, 4, 8]),
    pp=st.sampled_from([1, 2, 4, 8]),
    dp=st.integers(1, 64),
    cp=st.sampled_from([1, 2, 4]),
    micro=st.integers(1, 4),
    sequence=st.sampled_from([512, 4096, 32768]),
    recompute=st.sampled_from([None, "none", "selective", "full"]),
    sharding=st.sampled_from(["zero1", "zero2", "zero3"]),
)
def test_no_choice_beats_the_peak(
    llama_8b: Architecture,
    h100: Chip,
    bf16: Variant,
    tp: int,
    pp: int,
    dp: int,
    cp: int,
    micro: int,
    sequence: int,
    recompute: Recompute | None,
    sharding: State,
) -> None:
    """Times are finite and positive, add up and stay below peak; twice the batch takes longer, at most twice."""
    model = CostModel(llama_8b, h100, bf16, engine="megatron")
    tokens = float(micro * sequence * dp * 8)
    times, memory = model.training(
        Layouts.of(tp, pp, 1, dp),
        micro,
        sequence,
        [tokens],
        recompute=recompute,
        sharding=sharding,
        context_parallel=cp,
    )
    assert np.isfinite(times.by_operator).all()
    assert (times.by_operator >= 0).all()
    assert times.by_operator.sum() == pytest.approx(times.seconds[0])
    assert tokens * model.training_flop_per_token(sequence) / times.seconds[0] / (tp * pp * dp * cp) < model.peak(
        "bf16"
    )
    assert (memory.total > 0).all()
    twice, _ = model.training(
        Layouts.of(tp, pp, 1, dp),
        micro,
        sequence,
        2 * tokens,
        recompute=recompute,
        sharding=sharding,
        context_parallel=cp,
    )
    assert times.seconds[0] < twice.seconds[0] <= 2 * times.seconds[0] * (1 + 1e-9)


def test_shipped_shares_are_shares() -> None:
    """No fitted share of a chip's products, memory or links exceeds one; times and bytes are not negative."""
    for name in trainers.read()["chips"]:
        for family in trainers.families():
            t = trainers.find(chips.chip(name), family)
            shares = (
                *t.gemm.values(),
                t.memory,
                t.link_up,
                t.link_out,
                t.overlap,
                t.overlap_tp,
                t.overlap_ep,
                t.experts,
            )
            assert all(0 <= s <= 1 for s in shares), (name, family)
            assert all(g * t.framework < 1 for g in t.gemm.values()), (name, family)
            assert min(t.cast, t.layer_s, t.call_s, t.step_s, t.straggle, t.score_bytes) >= 0
            assert 0 < t.spread < 0.5
