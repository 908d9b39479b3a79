"""MetaX: the table of `mx-smi`, or its `-L`. Moffett's tool is also called mx-smi; only MetaX's banner is read."""

from __future__ import annotations

import re

from eke.fleet.detect.base import Command, Device, mib, pairs

VENDOR = "MetaX"
PCI_IDS = frozenset({"9999"})
VISIBLE = ("CUDA_VISIBLE_DEVICES", "MACA_VISIBLE_DEVICES")
COMMANDS = ((Command(("mx-smi",)),), (Command(("mx-smi", "-L")),))

_HEAD = re.compile(r"^\|\s*(\d+)\s+(\S.*?)\s*\|\s*([0-9a-f:.]+)\s*\|\s*(\d+)%", re.IGNORECASE)
_BODY = re.compile(r"^\|\s*(\d+)C\s.*\|\s*(\d+)/(\d+ MiB)\s*\|")
_LISTED = re.compile(r"^GPU#(\d+)\s+(\S+)\s+([0-9a-f:.]+)\s+.*\(UUID: ([\w-]+)\)", re.MULTILINE | re.IGNORECASE)


def parse(text: str) -> list[Device]:
    """Devices of the table or of `-L`; a power cap of `NA` and a MACA version of `unknown` do not matter."""
    if "MetaX" not in text and "mx-smi  version" not in text:
        return []
    if listed := _LISTED.findall(text):
        return [Device(int(n), name, uuid=uuid, bus=bus) for n, name, bus, uuid in listed]
    return [
        Device(int(a[1]), a[2], mib(b[3]), mib(f"{b[2]} MiB"), float(a[4]) / 100, temperature_c=float(b[1]), bus=a[3])
        for a, b in pairs(text, _HEAD, _BODY)
    ]
