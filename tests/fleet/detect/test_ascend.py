"""Huawei's tool: names and memory in one table, logic ids in another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import ascend, base

MIB = 2**20
Sample = Callable[[str], str]


def test_hbm_is_the_memory(sample: Sample) -> None:
    """Where a chip has HBM, that is its memory; the list of processes is no device; a chip with a warning is one."""
    a, b = ascend.parse(sample("ascend_info.txt"))
    assert (a.index, a.name, a.memory_bytes, a.used_bytes, a.utilisation) == (0, "910B2", 65536 * MIB, 3400 * MIB, 0.12)
    assert (b.index, b.temperature_c) == (1, 49)


def test_two_chips_a_card_and_a_controller(sample: Sample) -> None:
    """The index is the logic id, a card may hold two chips, `Mcu` is none."""
    told = ascend.parse(sample("ascend_310p.txt"))
    assert [(d.index, d.name, d.memory_bytes) for d in told] == [(2, "310P3", 44280 * MIB), (3, "310P3", 43693 * MIB)]


def test_ascend_950_is_asked_without_a_chip(sample: Sample) -> None:
    """Its columns differ (`Slot ID`, `Chip Phy-ID`), and `-t usages` must be asked without `-c`."""
    asked = []

    def run(command: base.Command) -> str | None:
        asked.append(command.argv[2:])
        return {("-m",): sample("ascend_950_m.txt"), (): None}.get(command.argv[2:], sample("ascend_950_usages.txt"))

    told = base.ask(ascend, run)
    assert [(d.index, d.name, d.memory_bytes) for d in told] == [
        (4, "Ascend950DT", 147456 * MIB), (5, "Ascend950DT", 147456 * MIB),
    ]  # fmt: skip
    assert told[0].used_bytes == 147456 * MIB / 2
    assert asked == [(), ("-m",), ("-t", "usages", "-i", "2"), ("-t", "usages", "-i", "3")]


def test_older_chips_are_asked_by_card_and_chip(sample: Sample) -> None:
    """Where the table says nothing of a chip, usages are asked for card and chip, never for the controller."""
    asked = []

    def run(command: base.Command) -> str | None:
        asked.append(command.argv[2:])
        table, mapping = sample("ascend_310p.txt").split("NPU ID", 1)
        return {(): table.replace("310P3", "?"), ("-m",): "NPU ID" + mapping}.get(command.argv[2:], "")

    base.ask(ascend, lambda c: None if c.argv[2:] == () else run(c))
    assert asked == [("-m",), ("-t", "usages", "-i", "4", "-c", "0"), ("-t", "usages", "-i", "4", "-c", "1")]


def test_real_output(shared_data: Path) -> None:
    """Outputs of six versions of the tool, tables and mappings, alone and together."""
    folder = shared_data / "detect" / "ascend"
    told = {f.name: ascend.parse(f.read_text()) for f in folder.iterdir()}
    assert {len(told[n]) for n in told if n.startswith("ai-server_atlas-800-training")} == {8}
    assert {len(told[n]) for n in told if n.startswith("ai-server_atlas-800-inference")} == {4}
    assert [d.index for d in told["npu-smi_info_-m_310P_two_chips_per_card.txt"]] == [0, 1, 2, 3]
    assert [d.index for d in told["npu-smi_info_-m_910B_with_mcu.txt"]] == [0, 1]
    assert [d.name for d in told["npu-smi_info_-m_Ascend950_new_columns.txt"]] == ["Ascend950PR"] * 2
    assert [d.memory_bytes for d in told["npu-smi_info_23.0.3_910B2C.txt"]] == [65536 * MIB] * 2
    masked = "ai-server_atlas-800-training-server_model-9010_version-24.1.RC2"
    both = (folder / f"{masked}.txt").read_text() + (folder / f"{masked}_mapping.txt").read_text()
    assert {(d.name, d.memory_bytes) for d in ascend.parse(both)} == {("Ascend 910A", 32768 * MIB)}
