"""Baidu Kunlun: `xpu-smi`, or the older `xpu_smi`. Intel has a tool of that name too; the banner tells.

Memory comes from here and nowhere else: what vLLM on Kunlun reports as device memory is the host's.
"""

from __future__ import annotations

import re

from eke.fleet.detect.base import MIB, Command, Device, mib, pairs

VENDOR = "Baidu"
PCI_IDS = frozenset({"1d22"})
VISIBLE = ("CUDA_VISIBLE_DEVICES", "XPU_VISIBLE_DEVICES")
COMMANDS = ((Command(("xpu-smi",)),), (Command(("xpu_smi",)),), (Command(("xpu-smi", "-L")),))

_HEAD = re.compile(r"^\|\s+(\d+)\s+(\S.*?)\s+(?:N/A|On|Off)\s+\|\s*([0-9A-F:.]+)", re.IGNORECASE)
_BODY = re.compile(r"(\d+)C .*\|\s*(\d+MiB)\s*/\s*(\d+MiB)\s*\|\s*(\d+)%")
_OLD = re.compile(
    r"^\|\s*(\d+) \|\s*([0-9a-f:.]+) \|\s*(\S+)\s*\|[^|]*\|[^|]*\|\s*(\d+) % \|[^|]*\|\s*(\d+) / (\d+) MB", re.MULTILINE
)
_LISTED = re.compile(r"^XPU (\d+): (.+?)\s+(GPU-[0-9a-f-]+)\s*$", re.MULTILINE)


def parse(text: str) -> list[Device]:
    """Devices from the table of either tool, or from `-L`; none from Intel's tool."""
    if listed := _LISTED.findall(text):
        return [Device(int(n), name, uuid=uuid) for n, name, uuid in listed]
    if "DevID" in text:
        return [
            Device(int(n), name, float(total) * MIB, float(used) * MIB, float(busy) / 100, bus=bus)
            for n, bus, name, busy, used, total in _OLD.findall(text)
        ]
    if "XPU-RT" not in text and "XPU  Name" not in text:
        return []
    return [
        Device(int(a[1]), a[2], mib(b[3]), mib(b[2]), float(b[4]) / 100, temperature_c=float(b[1]), bus=a[3])
        for a, b in pairs(text, _HEAD, _BODY)
    ]
