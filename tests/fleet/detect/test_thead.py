"""T-Head's tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import thead

MIB = 2**20


def test_table_and_list(sample: Callable[[str], str]) -> None:
    """The table knows memory, `-L` uuids and slices; indices are the tool's, not the device nodes' minor numbers."""
    a, b = thead.parse(sample("thead_ppu_smi.txt"))
    assert (a.index, a.name, a.memory_bytes, a.utilisation, a.slices) == (0, "PPU-ZW810E", 98304 * MIB, 0.14, 0)
    assert (b.index, b.slices, b.uuid) == (1, 2, "GPU-dddddddd-0000-0000-0000-000000000001")


def test_real_output(shared_data: Path) -> None:
    """A capture of the table, and of `-L` with slices."""
    folder = shared_data / "detect" / "thead"
    assert [d.memory_bytes for d in thead.parse((folder / "ppu-smi_1.28_ZW810E_partial.txt").read_text())] == [
        98304 * MIB
    ]
    assert [d.slices for d in thead.parse((folder / "ppu-smi_-L_mig.txt").read_text())] == [0, 2]
