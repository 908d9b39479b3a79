"""Enflame: the table of `efsmi`. It shows memory in all, not what is used of it in bytes."""

from __future__ import annotations

import re

from eke.fleet.detect.base import Command, Device, mib, pairs, share

VENDOR = "Enflame"
PCI_IDS = frozenset({"1e36"})
VISIBLE = ("TOPS_VISIBLE_DEVICES",)
COMMANDS = ((Command(("efsmi",)),),)

_HEAD = re.compile(r"^\|\s*(\d+)\s+(\S+)\s*\|\s*[\d.]+\s*\|\s*([0-9a-f:.]+)\s", re.IGNORECASE)
_BODY = re.compile(r"^\|\s*(\d+) C\s.*\|\s*(\d+MiB)\s+\w+\s*\|\s*([\d.]+%)")


def parse(text: str) -> list[Device]:
    """Devices of the table. `DUsed` is the device's load, not its memory's."""
    return [
        Device(int(a[1]), a[2], mib(b[2]), utilisation=share(b[3]), temperature_c=float(b[1]), bus=a[3])
        for a, b in pairs(text, _HEAD, _BODY)
    ]
