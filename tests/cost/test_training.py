from __future__ import annotations

import numpy as np
import pytest

from eke.cost import CostModel, Layouts
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant


def _mfu(model: CostModel, layouts: Layouts, sequence: int, tokens: float, micro_batch: int = 1) -> np.ndarray:
    times, memory = model.training(layouts, micro_batch, sequence, tokens)
    assert memory.fits.all()
    return tokens * model.training_flop_per_token(sequence) / times.seconds / layouts.chips / model.peak("bf16")


def test_flop_per_token_is_six_a_weight_and_attention(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """Short sequences: 6 a weight. Long ones add 6 a layer, width and causal key: half of the usual 12 L h s."""
    model = CostModel(llama_70b, h100, bf16, engine="megatron")
    assert model.training_flop_per_token(1) == pytest.approx(6 * llama_70b.active_parameters, rel=0.001)
    attention = model.training_flop_per_token(8192) - 6 * llama_70b.active_parameters
    assert attention == pytest.approx(12 * 80 * 8192 * 8192 / 2, rel=0.001)


def test_llama_70b_on_h100_trains_at_published_efficiency(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """Usual layouts of a 70B on H100 reach between 35% and 55% MFU (published bf16 runs: 38% to 52%)."""
    layouts = Layouts.of([4, 8, 8], [4, 4, 8], 1, [32, 16, 8])
    mfu = _mfu(CostModel(llama_70b, h100, bf16, engine="megatron"), layouts, 8192, 4e6)
    assert ((mfu > 0.35) & (mfu < 0.55)).all()


def test_optimizer_state_is_sharded_over_data_ranks(llama_8b: Architecture, h100: Chip, bf16: Variant) -> None:
    """ZeRO-1: 16 bytes a parameter on one rank, 4 + 12/dp on dp of them."""
    memory = CostModel(llama_8b, h100, bf16, engine="megatron").training(Layouts.of(1, dp=[1, 64]), 1, 2048, 1e6)[1]
    state = (memory.weights + memory.optimizer) / llama_8b.parameters
    assert state == pytest.approx([16.0, 4 + 12 / 64])


def test_recomputation_only_where_it_must(llama_8b: Architecture, h100: Chip, bf16: Variant) -> None:
    """A short sequence keeps its activations; a long one computes layers twice, exactly as many as make it fit."""
    model = CostModel(llama_8b, h100, bf16, engine="megatron")
    _, memory = model.training(Layouts.of([1, 1], dp=64), 1, [1024, 16384], 16e6)
    assert memory.recomputed[0] == 0
    assert 0 < memory.recomputed[1] < 1
    assert memory.fits.all()
    assert memory.total[1] == pytest.approx(model.memory_limit)


def test_pipelines_wait_less_with_more_micro_batches(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """The bubble is (pp - 1) / (chunks * micro-batches) of the work."""
    model = CostModel(llama_70b, h100, bf16, engine="megatron")
    times, _ = model.training(Layouts.of([8, 8], 8), 1, 4096, [4096 * 8, 4096 * 64])
    bubble = times.by_operator[times.operators.index("bubble")] / times.seconds
    work = 1 - bubble
    assert bubble[0] / work[0] == pytest.approx(7 / 4 / 8, rel=0.1)
    assert bubble[1] < bubble[0] / 4


def test_expert_ranks_make_room_for_state(mixtral: Architecture, h100: Chip, bf16: Variant) -> None:
    """Ep inside the data ranks: weights and state of experts a chip fall; dense weights stay."""
    model = CostModel(mixtral, h100, bf16, engine="megatron")
    memory = model.training(Layouts.of(1, 1, [1, 8], 8), 1, 2048, 1e6)[1]
    experts = 2 * 32 * mixtral.blocks[0].feed_forward.parameters
    assert memory.weights[0] - memory.weights[1] == pytest.approx(experts * 7 / 8)
    assert memory.total[1] < memory.total[0]


def test_fp8_training_is_faster_where_the_chip_can(
    llama_70b: Architecture, h100: Chip, v100: Chip, bf16: Variant
) -> None:
    """fp8 speeds up an H100 by 1.1 to 1.8; a V100 has no such units and gains nothing."""
    layouts = Layouts.of(8, 4, 1, 4)
    for chip, low, high in ((h100, 1.1, 1.8), (v100, 0.999, 1.001)):
        model = CostModel(llama_70b, chip, bf16, engine="megatron")
        slow, fast = (model.training(layouts, 1, 4096, 4e6, p)[0].seconds[0] for p in ("bf16", "fp8"))
        assert low < slow / fast < high
