"""From a tool's name and memory to a chip of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.errors import UnknownName
from eke.fleet import catalogue
from eke.fleet.detect.base import Device
from eke.fleet.identify import chip_of

MIB = 2**20


@pytest.mark.parametrize(
    ("name", "mib", "chip", "dies"),
    [
        ("NVIDIA H800", 81559, "H800-SXM", 1),
        ("NVIDIA H20", 97871, "H20-96", 1),
        ("NVIDIA H20", 143771, "H20-141", 1),
        ("NVIDIA GeForce RTX 4090", 24564, "RTX-4090", 1),
        ("NVIDIA GeForce RTX 4090", 49140, "RTX-4090-48", 1),
        ("NVIDIA A100-SXM4-40GB", 40960, "A100-SXM-40", 1),
        ("Tesla T4", 15360, "T4", 1),
        ("NVIDIA A10", 23028, "A10", 1),
        ("NVIDIA L20", 46068, "L20", 1),
        ("Tesla V100-SXM2-16GB", 16160, "V100-SXM2-16", 1),
        ("AMD Instinct MI308X OAM", 196592, "MI308X", 1),
        ("AMD Instinct MI250X", 65520, "MI250X", 2),
        ("910B2", 65536, "Ascend-910B2", 1),
        ("Ascend910", 65536, "Ascend-910C", 2),
        ("310P3", 21527, "Ascend-310P-Pro", 1),
        ("310P3", 44280, "Ascend-310P-Duo", 2),
        ("P800 OAM", 98304, "Kunlun-P800-OAM", 1),
        ("K100_AI", 65520, "Hygon-K100_AI", 1),
        ("Iluvatar BI-V150", 32768, "BI-V150", 2),
        ("MLU370-X8", 23374, "MLU370-X8", 2),
        ("MXC500", 65536, "MetaX-C500-PCIe", 1),
    ],
)
def test_name_says_the_family_and_memory_the_part(name: str, mib: int, chip: str, dies: int) -> None:
    """Variants of one name are told apart by memory; a card of two dies shows as two devices."""
    found, parts = chip_of(Device(0, name, mib * MIB))
    assert (found.name, parts) == (chip, dies)


def test_without_memory_the_name_decides() -> None:
    """A tool that masks memory still names the chip."""
    assert chip_of(Device(0, "P800 OAM"))[0].name == "Kunlun-P800-OAM"


def test_an_unknown_device_is_offered_as_an_inline_chip() -> None:
    """Nobody's catalogue is complete: the message shows what to write instead."""
    with pytest.raises(UnknownName) as e:
        chip_of(Device(0, "MTT S5000", 81920 * MIB))
    assert "MTT S5000 with 80 GiB" in e.value.what
    assert "chip: {name: MTT S5000, memory: 86 GB" in e.value.remedy


def test_a_known_name_of_other_memory_is_not_taken_for_it() -> None:
    """An H20 of 24 GiB is none of the two that are known."""
    with pytest.raises(UnknownName) as e:
        chip_of(Device(0, "NVIDIA H20", 24576 * MIB))
    assert "H20-96" in e.value.why


@given(st.sampled_from([c for c in catalogue.chips().values() if "two" not in c.architecture]), st.floats(0.93, 1.075))
def test_every_catalogued_chip_is_found_by_its_own_name(chip: catalogue.Chip, share: float) -> None:
    """A device that reports a chip's own name and about its memory is that chip."""
    assert chip_of(Device(0, chip.name, chip.memory * share)) == (chip, 1)


def test_captured_devices_are_known_or_said_to_be_unknown(shared_data: Path) -> None:
    """Devices as their drivers report them: all data-centre chips are known, with the memory they report."""
    unknown = set()
    for path in (shared_data / "detect" / "gpustack_runtime_json").glob("detect_output_*.json"):
        for row in json.loads(path.read_text()):
            if row.get("name") is not None:
                try:
                    chip, dies = chip_of(Device(row["index"], row["name"], row["memory"] * MIB))
                except UnknownName:
                    unknown.add(row["name"])
                else:
                    assert chip.memory == pytest.approx(dies * row["memory"] * MIB, rel=0.12)
    assert unknown == {"AMD Radeon RX 7800 XT", "NVIDIA GB10", "NVIDIA GeForce RTX 4080 SUPER"}
