"""Kunlun's two tools, and Intel's of the same name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import kunlun

MIB = 2**20
Sample = Callable[[str], str]


def test_device_memory_not_cache(sample: Sample) -> None:
    """Memory is the card's, not the L3 below it; processes are no devices."""
    a, b = kunlun.parse(sample("kunlun_xpu_smi.txt"))
    assert (a.index, a.name, a.memory_bytes, a.used_bytes) == (0, "P800 OAM", 98304 * MIB, 2048 * MIB)
    assert (a.utilisation, a.temperature_c, b.index) == (0.55, 42, 1)


def test_the_old_tool(sample: Sample) -> None:
    """`xpu_smi` prints another table."""
    (a,) = kunlun.parse(sample("kunlun_xpu_smi_old.txt"))
    assert (a.name, a.memory_bytes, a.used_bytes, a.utilisation) == ("R200", 16384 * MIB, 512 * MIB, 0.4)


def test_intels_tool_is_not_read(sample: Sample) -> None:
    """Intel's xpu-smi is told by its banner."""
    assert kunlun.parse(sample("intel_xpu_smi.txt")) == []


def test_both_variables_restrict() -> None:
    """Frameworks on Kunlun read one or the other variable: both are set."""
    assert kunlun.VISIBLE == ("CUDA_VISIBLE_DEVICES", "XPU_VISIBLE_DEVICES")


def test_real_output(shared_data: Path) -> None:
    """Captures of P800 and R300, and `-L`."""
    folder = shared_data / "detect" / "kunlunxin"
    told = {f.name: kunlun.parse(f.read_text()) for f in folder.iterdir()}
    assert [d.memory_bytes for d in told["xpu-smi_P800_driver515.58.txt"]] == [98304 * MIB] * 4
    assert len(told["xpu-smi_P800_driver5.0.21.26_partial.txt"]) == 1
    assert [(d.name, d.memory_bytes) for d in told["xpu_smi_R300_runtime4.31.txt"]] == [("R300", 32768 * MIB)] * 2
    assert len(told["xpu-smi_-L_P800x8.txt"]) == 8
