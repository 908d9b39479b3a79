"""Iluvatar's tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import iluvatar

MIB = 2**20
Sample = Callable[[str], str]


def test_query(sample: Sample) -> None:
    """NVIDIA's CSV without its header."""
    a, b = iluvatar.parse(sample("iluvatar_query.csv"))
    assert (a.name, a.memory_bytes, a.used_bytes, a.utilisation, a.temperature_c) == (
        "Iluvatar BI-V100",
        32768 * MIB,
        200 * MIB,
        0.09,
        40,
    )
    assert (b.utilisation, b.temperature_c) == (None, None)


def test_table(sample: Sample) -> None:
    """A card whose second line has no power is a device like its twin."""
    a, b = iluvatar.parse(sample("iluvatar_ixsmi.txt"))
    assert (a.name, a.memory_bytes, a.utilisation, b.index) == ("Iluvatar BI-V150", 32768 * MIB, 0.03, 1)


def test_real_output(shared_data: Path) -> None:
    """Captures of three versions, and the CSV."""
    told = {f.name: iluvatar.parse(f.read_text()) for f in (shared_data / "detect" / "iluvatar").iterdir()}
    assert {n: [d.name for d in ds] for n, ds in told.items()} == {
        "ixsmi_4.0.0_BI-V150S.txt": ["Iluvatar BI-V150S"],
        "ixsmi_4.1.0_BI-V150_partial.txt": ["Iluvatar BI-V150"] * 2,
        "ixsmi_4.4.0_MR-V100_DUO.txt": ["Iluvatar MR-V100 DUO"] * 2,
        "ixsmi_query.csv": ["Iluvatar MR-V50", "Iluvatar MR-V100"],
    }
