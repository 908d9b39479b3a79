"""Iluvatar CoreX: `ixsmi --query-gpu`, in nvidia-smi's CSV, or its table. Cards of two dies show as two devices."""

from __future__ import annotations

import re

from eke.fleet.detect import _query
from eke.fleet.detect.base import Command, Device, mib, pairs

VENDOR = "Iluvatar"
PCI_IDS = frozenset({"1e3e"})
VISIBLE = ("CUDA_VISIBLE_DEVICES", "ILUVATAR_COREX_VISIBLE_DEVICES")
_ASKED = _query.COLUMNS[:6]
COMMANDS = (
    (Command(("ixsmi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader")),),
    (Command(("ixsmi",)),),
)

_HEAD = re.compile(r"^\|\s*(\d+)\s+(\S.*?)\s*\|\s*([0-9A-F:.]+)\s*\|\s*\d+MHz", re.IGNORECASE)
_BODY = re.compile(r"(\d+)C\s.*\|\s*(\d+MiB)\s*/\s*(\d+MiB)\s*\|\s*(\d+)%")


def parse(text: str) -> list[Device]:
    """Devices of either form."""
    if "IX-ML" not in text:
        return _query.rows(text, _ASKED)
    return [
        Device(int(a[1]), a[2], mib(b[3]), mib(b[2]), float(b[4]) / 100, temperature_c=float(b[1]), bus=a[3])
        for a, b in pairs(text, _HEAD, _BODY)
    ]
