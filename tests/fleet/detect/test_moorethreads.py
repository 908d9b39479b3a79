"""Moore Threads' tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import moorethreads

MIB = 2**20
Sample = Callable[[str], str]


def test_table(sample: Sample) -> None:
    """Used and total stand in one cell; processes are no devices."""
    (a,) = moorethreads.parse(sample("moorethreads_gmi.txt"))
    assert (a.name, a.memory_bytes, a.used_bytes, a.utilisation, a.temperature_c) == (
        "MTT S4000",
        49152 * MIB,
        1024 * MIB,
        0.62,
        55,
    )


def test_json(sample: Sample) -> None:
    """MiB or GiB; what is missing is unknown."""
    a, b = moorethreads.parse(sample("moorethreads_gmi.json"))
    assert (a.index, a.memory_bytes, a.utilisation, a.temperature_c) == (0, 49152 * MIB, 0.08, 44)
    assert (b.index, b.memory_bytes, b.utilisation) == (1, 48 * 2**30, None)


def test_real_output(shared_data: Path) -> None:
    """Captures of three versions."""
    told = {f.name: moorethreads.parse(f.read_text()) for f in (shared_data / "detect" / "mthreads").iterdir()}
    assert sorted(len(d) for d in told.values()) == [1, 1, 2]
    assert told["mthreads-gmi_2.4.1_S5000_partial.txt"][1].memory_bytes == 81920 * MIB
    assert told["mthreads-gmi_2.0.0_S80_with_processes_partial.txt"][0].used_bytes == 662 * MIB
