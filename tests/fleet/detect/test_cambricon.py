"""Cambricon's tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import base, cambricon

MIB = 2**20
Sample = Callable[[str], str]


def test_table(sample: Sample) -> None:
    """Masked memory is unknown; processes are no devices."""
    a, b = cambricon.parse(sample("cambricon_cnmon.txt"))
    assert (a.name, a.memory_bytes, a.used_bytes, a.utilisation, a.temperature_c) == (
        "MLU590-H8",
        65536 * MIB,
        1024 * MIB,
        0.21,
        45,
    )
    assert (b.name, b.memory_bytes) == ("MLUXXX-XX", None)


def test_json(sample: Sample) -> None:
    """The file of `cnmon info -j`."""
    a, b = cambricon.parse(sample("cambricon_info.json"))
    assert (a.index, a.name, a.memory_bytes, a.utilisation) == (0, "MLU370-X8", 23374 * MIB, 0.15)
    assert (b.index, b.utilisation) == (1, None)


def test_the_file_is_asked_for(sample: Sample) -> None:
    """`-j` answers into a file where the tool stands, so it runs in a folder of its own."""
    asked = []

    def run(command: base.Command) -> str | None:
        asked.append(command.file)
        return sample("cambricon_info.json")

    assert len(base.ask(cambricon, run)) == 2
    assert asked == ["cnmon_info.json"]


def test_real_output(shared_data: Path) -> None:
    """Captures of three versions, one masked."""
    told = {f.name: cambricon.parse(f.read_text()) for f in (shared_data / "detect" / "cambricon").iterdir()}
    assert {len(d) for d in told.values()} == {2}
    assert told["cnmon_5.10.13_MLU370X8.txt"][0].memory_bytes == 23374 * MIB
