"""T-Head PPU: the table of `ppu-smi`, or its `-L`, which lists slices (MIG) too.

The index is the tool's own; the minor number of the device node is another one (index + 1 on a host seen).
"""

from __future__ import annotations

import re
from dataclasses import replace

from eke.fleet.detect.base import Command, Device, mib, pairs

VENDOR = "T-Head"
PCI_IDS = frozenset({"1ded"})
VISIBLE = ("CUDA_VISIBLE_DEVICES",)
COMMANDS = ((Command(("ppu-smi",)), Command(("ppu-smi", "-L"))),)

_HEAD = re.compile(r"^\|\s*(\d+)\s+(\S+)\s+\S+\s*\|\s*([0-9A-F:.]+)\s*\|", re.IGNORECASE)
_BODY = re.compile(r"(\d+)C\s.*\|\s*(\d+MiB)\s*/\s*(\d+MiB)\s*\|\s*(\d+)%")
_LISTED = re.compile(r"^PPU (\d+): (.+?) \(UUID: ([\w-]+)\)")


def parse(text: str) -> list[Device]:
    """Devices of the table, with slices and uuids where `-L` follows; or of `-L` alone."""
    listed = _listed(text)
    table = [
        Device(int(a[1]), a[2], mib(b[3]), mib(b[2]), float(b[4]) / 100, temperature_c=float(b[1]), bus=a[3])
        for a, b in pairs(text, _HEAD, _BODY)
    ]
    if not table:
        return list(listed.values())
    return [
        replace(d, uuid=listed[d.index].uuid, slices=listed[d.index].slices) if d.index in listed else d for d in table
    ]


def _listed(text: str) -> dict[int, Device]:
    found: dict[int, Device] = {}
    for line in text.splitlines():
        if match := _LISTED.match(line):
            last = int(match[1])
            found[last] = Device(last, match[2], uuid=match[3])
        elif found and line.strip().startswith("MIG "):
            found[last] = replace(found[last], slices=(found[last].slices or 0) + 1)
    return found
