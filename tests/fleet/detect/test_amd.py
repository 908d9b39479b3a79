"""AMD's tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import amd

Sample = Callable[[str], str]


def test_rocm_smi(sample: Sample) -> None:
    """The sold name stands in brackets, keys change their case by version, N/A is unknown."""
    a, b = amd.parse(sample("amd_rocm_smi.json"))
    assert (a.index, a.name, a.memory_bytes, a.utilisation, a.temperature_c) == (
        0,
        "AMD Instinct MI300X OAM",
        206141652992,
        0.12,
        44,
    )
    assert (b.index, b.name, b.uuid) == (3, "AMD Instinct MI250X", "")


def test_amd_smi(sample: Sample) -> None:
    """`amd-smi static` gives memory with its unit, or does not."""
    a, b = amd.parse(sample("amd_static.json"))
    assert (a.index, a.name, a.memory_bytes, a.bus) == (1, "AMD Instinct MI325X", 262128 * 2**20, "0000:15:00.0")
    assert b.memory_bytes is None


def test_hygon_cards_are_not_taken(sample: Sample) -> None:
    """Hygon ships a rocm-smi too; what it prints is not AMD's, and neither is nonsense."""
    assert amd.parse(sample("hygon_broken.json")) == []
    assert amd.parse('{"card0": {"Card Vendor": "Chengdu Haiguang IC", "VRAM Total Memory (B)": "1"}}') == []
    assert amd.parse("no devices") == []


def test_real_output(shared_data: Path) -> None:
    """Captures of four ROCm versions, and both forms of amd-smi."""
    told = {f.name: amd.parse(f.read_text()) for f in (shared_data / "detect" / "amd").glob("*.json")}
    assert {n: len(d) for n, d in told.items()} == {
        "rocm-smi_6.2.4.json": 1, "telegraf_mi100_rocm571.json": 6, "telegraf_mi100_rocm602.json": 4,
        "telegraf_rx6700xt_rocm612.json": 1, "telegraf_vega-20-WKS-GL-XE.json": 1,
        "amd-smi_static_MI210_abridged.json": 1, "amd-smi_static_list_form.json": 2,
    }  # fmt: skip
    assert told["telegraf_mi100_rocm571.json"][5].name == "AMD Instinct MI100"
    assert [d.memory_bytes for d in told["amd-smi_static_list_form.json"]] == [196608 * 2**20, 2**35]
