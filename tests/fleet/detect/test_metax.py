"""MetaX's tool, and Moffett's of the same name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import metax

MIB = 2**20
Sample = Callable[[str], str]


def test_table(sample: Sample) -> None:
    """A power cap of NA, a column less in older versions, an unknown MACA: devices all the same."""
    a, b = metax.parse(sample("metax_mx_smi.txt"))
    assert (a.name, a.memory_bytes, a.used_bytes, a.utilisation, a.temperature_c) == (
        "MetaX C500",
        65536 * MIB,
        5000 * MIB,
        0.17,
        37,
    )
    assert (b.index, b.name) == (1, "MXC550")


def test_moffetts_tool_is_not_read(sample: Sample) -> None:
    """Another maker's mx-smi is told by its banner."""
    assert metax.parse(sample("moffett_mx_smi.txt")) == []


def test_real_output(shared_data: Path) -> None:
    """Captures of three versions and `-L`."""
    told = {f.name: metax.parse(f.read_text()) for f in (shared_data / "detect" / "metax").iterdir()}
    assert {n: len(d) for n, d in told.items()} == {
        "mx-smi_-L.txt": 3, "mx-smi_2.1.12_C500_partial.txt": 2, "mx-smi_2.1.12_C550x1.txt": 1,
        "mx-smi_2.1.6_C550x8.txt": 8, "mx-smi_dmon.csv": 0,
    }  # fmt: skip
    assert told["mx-smi_-L.txt"][2].index == 15
    assert told["mx-smi_2.1.12_C550x1.txt"][0].memory_bytes == 65536 * MIB
