"""Enflame's tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import enflame

MIB = 2**20


def test_table(sample: Callable[[str], str]) -> None:
    """Memory in all, load in per cent; what is used of memory is not said."""
    a, b = enflame.parse(sample("enflame_efsmi.txt"))
    assert (a.name, a.memory_bytes, a.used_bytes, a.utilisation, a.temperature_c) == (
        "T20",
        32768 * MIB,
        None,
        0.625,
        41,
    )
    assert (b.index, b.name) == (1, "S60")


def test_real_output(shared_data: Path) -> None:
    """A capture of two S60, one with ECC and less memory for it."""
    told = enflame.parse((shared_data / "detect" / "enflame" / "efsmi_1.2.0.301_S60.txt").read_text())
    assert [(d.name, d.memory_bytes) for d in told] == [("S60", 49120 * MIB), ("S60", 42976 * MIB)]
