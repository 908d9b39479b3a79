"""Which vendors are asked, and what becomes of their devices."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from eke.fleet import catalogue, detect
from eke.fleet.detect.base import Command, Device

Sample = Callable[[str], str]
MIB = 2**20


def test_every_detector_has_the_same_shape() -> None:
    """Eleven vendors, each with a PCI id of its own, a command, and variables that restrict."""
    assert len(detect.DETECTORS) == 11
    ids = [i for d in detect.DETECTORS for i in d.PCI_IDS]
    assert len(ids) == len(set(ids)) == 11
    vendors = {c.vendor for c in catalogue.chips().values()}
    for d in (*detect.DETECTORS, detect.mock, detect.cpu):
        assert d.VENDOR in vendors | {"mock", "CPU"}
        assert callable(d.parse)
    assert all(d.COMMANDS and d.VISIBLE for d in detect.DETECTORS)


def test_the_bus_decides_who_is_asked(sample: Sample) -> None:
    """On a machine with Hygon on the bus, `rocm-smi` is read as Hygon's and nobody else is asked."""
    asked = []

    def run(command: Command) -> str | None:
        asked.append(command.argv[0])
        return sample("hygon_broken.json") if command.argv[0] == "rocm-smi" else None

    found = detect.devices(run, Counter({"1d94": 2}))
    assert {(d.vendor, d.name) for d in found} == {("Hygon", "K100_AI")}
    assert set(asked) == {"hy-smi", "rocm-smi"}


def test_without_a_bus_every_tool_is_asked(sample: Sample) -> None:
    """A container may hide the bus; then each tool's banner tells whose it is."""
    answers = {"xpu-smi": "intel_xpu_smi.txt", "mx-smi": "moffett_mx_smi.txt", "efsmi": "enflame_efsmi.txt"}
    found = detect.devices(lambda c: sample(answers[c.argv[0]]) if c.argv[0] in answers else None, Counter())
    assert [d.vendor for d in found] == ["Enflame", "Enflame"]


def test_a_missing_tool_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Devices on the bus without their vendor's tool are not silently missed."""
    with caplog.at_level(logging.INFO):
        assert detect.devices(lambda c: None, Counter({"10de": 8})) == []
    assert "NVIDIA is on the PCI bus, but nvidia-smi gives no device" in caplog.text


def test_the_bus_is_read_by_class(tmp_path: Path) -> None:
    """Network cards and disks of a chip maker are no accelerators."""
    for name, vendor, kind in (("0", "0x19e5", "0x020000"), ("1", "0x19e5", "0x120000"), ("2", "0x10de", "0x030200")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    (tmp_path / "3").mkdir()
    assert detect.pci_vendors(tmp_path) == Counter({"19e5": 1, "10de": 1})


def test_devices_become_pools_by_kind() -> None:
    """Like chips of a node are one pool; two dies of a card are one chip."""
    fleet = detect.fleet_of([
        *(Device(n, "NVIDIA H20", 97871 * MIB) for n in range(8)),
        *(Device(n, "NVIDIA L20", 46068 * MIB) for n in range(2)),
        *(Device(n, "Iluvatar BI-V150", 32768 * MIB) for n in range(4)),
    ])  # fmt: skip
    assert fleet is not None
    assert [(p.name, p.nodes, p.chips_per_node) for p in fleet.pools] == [
        ("h20-96", 1, 8),
        ("l20", 1, 2),
        ("bi-v150", 1, 2),
    ]
    assert fleet.pools[0].scale_out == 50e9


def test_slices_and_strangers_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """A cut device and an unknown one are not planned on, and the rest still is."""
    h20 = Device(0, "NVIDIA H20", 97871 * MIB)
    fleet = detect.fleet_of([h20, Device(1, "NVIDIA H20", 97871 * MIB, slices=7), Device(2, "MTT S80", 16384 * MIB)])
    assert fleet is not None
    assert fleet.pools[0].chips == 1
    assert "cut into slices" in caplog.text
    assert "MTT S80" in caplog.text


def test_a_machine_of_strangers_is_planned_by_its_cpu(sample: Sample, caplog: pytest.LogCaptureFixture) -> None:
    """A graphics card nobody knows is said once, with what to write for it, and does not stand in the way."""
    answer = sample("moorethreads_gmi.txt").replace("MTT S4000", "MTT S80  ")
    (pool,) = detect.fleet(lambda c: answer if c.argv == ("mthreads-gmi",) else None, Counter({"1ed5": 1})).pools
    assert pool.chip.kind == "cpu"
    assert "1 left out of the plan: no chip is called 'MTT S80 with 48 GiB'" in caplog.text
    assert "chip: {name: MTT S80" in caplog.text


def test_without_accelerators_the_cpu_is_the_fleet() -> None:
    """A bare machine is planned by its cores."""
    (pool,) = detect.fleet(lambda c: None, Counter()).pools
    assert pool.chip.kind == "cpu"


def test_the_environment_may_make_a_fleet_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """`EKE_MOCK_FLEET` stands in for the machine."""
    monkeypatch.setenv("EKE_MOCK_FLEET", "L20=3x8")
    assert detect.fleet().pools[0].chips == 24
