"""Models and chips whose figures everybody knows; tests here depend on no catalogue."""

from __future__ import annotations

import pytest

from eke.fleet.chip import Chip
from eke.models.architecture import Architecture, Attention, Block, FeedForward
from eke.models.variant import Variant


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration finds no weights to measure an engine with, wherever the user keeps some."""
    monkeypatch.delenv("EKE_MODELS", raising=False)


def dense(name: str, layers: int, hidden: int, heads: int, kv_heads: int, width: int, vocabulary: int) -> Architecture:
    """A Llama-like model."""
    d = hidden // heads
    attention = Attention("full", heads, kv_heads, d, d, parameters=2 * hidden * (heads + kv_heads) * d)
    one = 3 * hidden * width
    block = Block(layers, attention, FeedForward(width, 3, one, one))
    return Architecture(name, hidden, vocabulary, (block,), vocabulary * hidden, vocabulary * hidden)


@pytest.fixture(scope="session")
def llama_8b() -> Architecture:
    return dense("Llama-3-8B", 32, 4096, 32, 8, 14336, 128256)


@pytest.fixture(scope="session")
def llama_70b() -> Architecture:
    return dense("Llama-3-70B", 80, 8192, 64, 8, 28672, 128256)


@pytest.fixture(scope="session")
def mixtral() -> Architecture:
    one = 3 * 4096 * 14336
    attention = Attention("full", 32, 8, 128, 128, parameters=2 * 4096 * 40 * 128)
    block = Block(32, attention, FeedForward(14336, 3, 8 * one, 2 * one, experts=8, experts_per_token=2))
    return Architecture("Mixtral-8x7B", 4096, 32000, (block,), 32000 * 4096, 32000 * 4096)


@pytest.fixture(scope="session")
def h100() -> Chip:
    return Chip(
        "H100-SXM", "NVIDIA", {"fp32": 67e12, "bf16": 989e12, "fp16": 989e12, "fp8": 1979e12}, 81559 * 2**20, 3.35e12,
        scale_up_chips=8, scale_up=450e9, scale_out=50e9,
    )  # fmt: skip


@pytest.fixture(scope="session")
def v100() -> Chip:
    return Chip(
        "V100-SXM2-32", "NVIDIA", {"fp32": 15.7e12, "fp16": 125e12}, 32e9, 0.9e12,
        scale_up_chips=8, scale_up=150e9, scale_out=12.5e9,
    )  # fmt: skip


@pytest.fixture(scope="session")
def xeon() -> Chip:
    """The two-core machine its anchors were measured on, with what `eke calibrate` finds there."""
    return Chip("xeon-2c", "Intel", {"fp32": 157e9, "bf16": 700e9}, 24e9, 20e9, kind="cpu", cores=2)


BF16 = Variant("bf16", 16.0, "bf16", 16.0, None)
FP8 = Variant("fp8", 8.0, "fp8", 8.0, None)
INT4 = Variant("int4", 4.5, "bf16", 16.0, None)


@pytest.fixture(scope="session")
def bf16() -> Variant:
    return BF16


@pytest.fixture(scope="session")
def fp8() -> Variant:
    return FP8


@pytest.fixture(scope="session")
def int4() -> Variant:
    return INT4
