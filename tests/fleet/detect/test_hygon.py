"""Hygon's tool, which often prints JSON that is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import hygon

Sample = Callable[[str], str]


def test_broken_json_is_read(sample: Sample) -> None:
    """Missing commas, bare numbers, DCU or HCU, MiB or B in the key: all the same to the reader."""
    a, b = hygon.parse(sample("hygon_broken.json"))
    assert (a.index, a.name, a.memory_bytes, a.used_bytes) == (0, "K100_AI", 65520 * 2**20, 4096 * 2**20)
    assert (a.utilisation, a.temperature_c) == (0.3, 51)
    assert (b.index, b.memory_bytes, b.utilisation) == (7, 68702699520, 0)


def test_the_table_lacks_memory(sample: Sample) -> None:
    """From the table memory is unknown, not zero."""
    a, b = hygon.parse(sample("hygon_table.txt"))
    assert (a.memory_bytes, a.utilisation, a.temperature_c) == (None, 0.3, 51)
    assert b.index == 1


def test_amd_cards_are_not_taken(sample: Sample) -> None:
    """What AMD's rocm-smi prints is not Hygon's."""
    assert hygon.parse(sample("amd_rocm_smi.json")) == []


def test_real_output(shared_data: Path) -> None:
    """Captures of DTK 23 and 24."""
    folder = shared_data / "detect" / "hygon"
    card = hygon.parse((folder / "rocm-smi_dtk24.04.3.json").read_text())
    assert [(d.memory_bytes, d.used_bytes) for d in card] == [(65520 * 2**20, 2 * 2**20)]
    assert len(hygon.parse((folder / "hy-smi_table_dtk24.04.1_K100AI.txt").read_text())) == 4
    assert [d.temperature_c for d in hygon.parse((folder / "rocm-smi_table_dtk23.10.txt").read_text())] == [
        30,
        30,
        29,
        29,
    ]
