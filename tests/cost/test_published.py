"""Against numbers others measured and published. Bounds are wide: this holds the shape, benchmarks the accuracy."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from eke.cost import CostModel, Layouts
from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.models import catalogue as models
from eke.models.architecture import Architecture, Attention, Block, FeedForward
from eke.models.variant import Variant

CHIPS = {"h100_sxm": "H100-SXM", "h200_sxm": "H200-SXM", "b200_sxm": "B200-SXM"}


def _rows(file: Path, **equal: str) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if all(row[k] == v for k, v in equal.items())]


@pytest.mark.parametrize("system", CHIPS)
def test_dense_serving_is_near_measured_runs(shared_data: Path, system: str) -> None:
    """Llama-3.1-70B fp8 under vLLM: median TPOT error at most 25%, no row off by more than a factor 2."""
    rows = _rows(
        shared_data / "perf/serving_silicon.csv",
        system=system, backend="vllm", mode="agg", model_path="meta-llama/Llama-3.1-70B", gemm_quant_mode="fp8",
    )  # fmt: skip
    assert len(rows) > 20
    fp8 = Variant("fp8", 8.0, "fp8", 16.0, None)
    model = CostModel(models.architecture("Llama-3.1-70B"), chips.chip(CHIPS[system]), fp8)
    columns = ("tp_size", "batch_size", "isl", "osl", "silicon_tpot_ms")
    tp, batch, prompt, output, measured = (np.array([float(r[c]) for r in rows]) for c in columns)
    layouts = Layouts.of(tp.astype(int))
    tpot = model.decode(layouts, batch, prompt + output / 2).seconds
    tpot = tpot + (batch - 1) * model.prefill(layouts, prompt).seconds / output
    ratio = tpot / (measured / 1e3)
    assert np.median(abs(ratio - 1)) < 0.25
    assert (abs(np.log(ratio)) < np.log(2)).all()


def test_mixtures_serve_near_measured_runs(shared_data: Path) -> None:
    """DeepSeek-R1 on 8 H200 under SGLang, fp8: median TPOT error at most 25%."""
    rows = _rows(
        shared_data / "perf/serving_silicon.csv",
        system="h200_sxm", backend="sglang", mode="agg", model_path="deepseek-ai/DeepSeek-R1", gemm_quant_mode="fp8",
    )  # fmt: skip
    rows = [r for r in rows if r["attention_dp_size"] in ("", "1") and r["tp_size"] == "8"]
    assert len(rows) >= 10
    fp8 = Variant("fp8", 8.0, "fp8", 16.0, None)
    model = CostModel(models.architecture("DeepSeek-R1"), chips.chip("H200-SXM"), fp8, engine="sglang")
    columns = ("batch_size", "isl", "osl", "silicon_tpot_ms")
    batch, prompt, output, measured = (np.array([float(r[c]) for r in rows]) for c in columns)
    layouts = Layouts.of(np.full(len(rows), 8))
    tpot = model.decode(layouts, batch, prompt + output / 2).seconds
    tpot = tpot + (batch - 1) * model.prefill(layouts, prompt).seconds / output
    assert np.median(abs(tpot / (measured / 1e3) - 1)) < 0.25


def test_dense_fp8_training_is_near_megatrons(shared_data: Path) -> None:
    """Llama-3 8B and 70B, fp8 on H100: tokens/s within 40% of Megatron-Bridge."""
    rows = _rows(shared_data / "perf/training_megatron_bridge.csv", system="H100")
    rows = [r for r in rows if r["model"] in ("LLAMA3_8B", "LLAMA3_70B") and r["cp"] == "1"]
    assert rows
    bf16 = Variant("bf16", 16.0, "bf16", 16.0, None)
    for row in rows:
        name = row["model"].replace("LLAMA3", "Llama-3").replace("_", "-")
        tp, pp, gpus, sequence = (int(row[c]) for c in ("tp", "pp", "gpus", "seq_len"))
        model = CostModel(models.architecture(name), chips.chip("H100-SXM"), bf16, engine="megatron")
        tokens = int(row["gbs"]) * sequence
        times, _ = model.training(Layouts.of(tp, pp, 1, gpus // tp // pp), int(row["mbs"]), sequence, tokens, "fp8")
        assert tokens / times.seconds[0] / gpus == pytest.approx(float(row["tokens_per_s_per_gpu"]), rel=0.4)


def test_a_cpu_serves_as_measured(xeon: Chip) -> None:
    """Qwen2.5-Coder-0.5B Q4_K_M, llama.cpp: decode 13 tokens/s on one core, 22-24 on two, within 25%.

    Products as `eke calibrate` times them, 26.6 GFLOPS a core (docs/this-machine.md): prefill within 10% of that.
    """
    one = 3 * 896 * 4864
    attention = Attention("full", 14, 2, 64, 64, parameters=2 * 896 * 16 * 64)
    qwen = Architecture("qwen", 896, 151936, (Block(24, attention, FeedForward(4864, 3, one, one)),), 151936 * 896, 0)
    model = CostModel(qwen, xeon.core(), Variant("int4", 6.35, "bf16", 16.0, None), engine="llamacpp")
    cores = Layouts.of([1, 2])
    products = 2.0 * 300 * 24 * (one + attention.parameters) / (26.6e9 * np.array([1, 2]))
    assert model.prefill(cores, 300).seconds == pytest.approx(products, rel=0.1)
    assert 1 / model.decode(cores, 1, 300).seconds == pytest.approx([13, 23], rel=0.25)
    assert model.basis == "modelled"


def test_a_cpu_trains_as_measured(xeon: Chip) -> None:
    """A 4.85M-parameter byte GPT in bf16: 5,325 tokens/s on one core, 9,392 on two, within 25%."""
    attention = Attention("full", 8, 8, 32, 32, parameters=4 * 256 * 256)
    channels = FeedForward(1024, 2, 2 * 256 * 1024, 2 * 256 * 1024)
    tiny = Architecture("tiny", 256, 256, (Block(6, attention, channels),), 2 * 256 * 256, 0)
    model = CostModel(tiny, xeon.core(), Variant("bf16", 16.0, "bf16", 16.0, None), engine="torch")
    times, memory = model.training(Layouts.of([1, 2]), 16, 256, 4096)
    assert 4096 / times.seconds == pytest.approx([5325, 9392], rel=0.25)
    assert memory.fits.all()
