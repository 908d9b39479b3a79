"""What this machine has: devices of every vendor by PCI id and the vendor's own tool, else the CPU.

Tools of vendors seen on the PCI bus are asked; where the bus shows none (containers hide it), every tool there is.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from eke.errors import UnknownName
from eke.fleet.chip import Chip
from eke.fleet.detect import (
    amd,
    ascend,
    base,
    cambricon,
    cpu,
    enflame,
    hygon,
    iluvatar,
    kunlun,
    metax,
    mock,
    moorethreads,
    nvidia,
    thead,
)
from eke.fleet.detect.base import Detector, Device, Run
from eke.fleet.identify import chip_of
from eke.fleet.pool import Fleet, Pool

DETECTORS: tuple[Detector, ...] = (
    nvidia, amd, ascend, kunlun, hygon, cambricon, enflame, metax, moorethreads, iluvatar, thead,
)  # fmt: skip

_ACCELERATORS = ("0x03", "0x12", "0x0b40")  # PCI classes: display, processing accelerator, co-processor
_log = logging.getLogger(__name__)


def pci_vendors(root: Path = Path("/sys/bus/pci/devices")) -> Counter[str]:
    """Accelerators and displays on the PCI bus, counted by vendor id."""
    found: Counter[str] = Counter()
    for device in root.glob("*"):
        try:
            kind, vendor = (device / "class").read_text().strip(), (device / "vendor").read_text().strip()
        except OSError:
            continue
        if kind.startswith(_ACCELERATORS):
            found[vendor.removeprefix("0x")] += 1
    return found


def devices(run: Run = base.run, pci: Counter[str] | None = None) -> list[Device]:
    """Every accelerator of this machine."""
    bus = pci_vendors() if pci is None else pci
    seen = [d for d in DETECTORS if d.PCI_IDS & bus.keys()]
    found: list[Device] = []
    for detector in seen or DETECTORS:
        answer = base.ask(detector, run)
        found += answer
        if seen and not answer:
            tools = sorted(
                {step.argv[0] for way in detector.COMMANDS for step in way if isinstance(step, base.Command)}
            )
            _log.info("%s is on the PCI bus, but %s gives no device", detector.VENDOR, " and ".join(tools))
    return found


def fleet(run: Run = base.run, pci: Counter[str] | None = None) -> Fleet:
    """This machine as a fleet: a pool for each kind of chip, or its CPU where it has no accelerator that Eke knows."""
    if (text := os.environ.get("EKE_MOCK_FLEET")) is not None:
        return mock.fleet(text)
    return fleet_of(devices(run, pci)) or cpu.fleet()


def fleet_of(found: Sequence[Device]) -> Fleet | None:
    """Devices of one node as pools; None where there are none. Slices and unknown chips are left out with a warning."""
    counted: Counter[str] = Counter()
    dies: dict[str, int] = {}
    kinds: dict[str, Chip] = {}
    strangers: Counter[str] = Counter()
    for device in found:
        if device.slices != 0:
            _log.warning("%s %d is cut into slices and left out of the plan", device.name, device.index)
            continue
        try:
            chip, parts = chip_of(device)
        except UnknownName as error:
            strangers[str(error)] += 1
            continue
        kinds[chip.name], dies[chip.name] = chip, parts
        counted[chip.name] += 1
    for message, times in strangers.items():
        _log.warning("%d left out of the plan: %s", times, message)
    pools = [
        Pool(n.lower(), kinds[n], 1, c // dies[n], scale_out=kinds[n].scale_out)
        for n, c in counted.items()
        if c >= dies[n]
    ]
    return Fleet(tuple(pools)) if pools else None
