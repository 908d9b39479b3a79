"""Moore Threads: `mthreads-gmi -q --json`, or its table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from eke.fleet.detect.base import Command, Device, mib, pairs, quantity, share

VENDOR = "Moore Threads"
PCI_IDS = frozenset({"1ed5"})
VISIBLE = ("MUSA_VISIBLE_DEVICES",)
COMMANDS = ((Command(("mthreads-gmi", "-q", "--json")),), (Command(("mthreads-gmi",)),))

_HEAD = re.compile(r"^(\d+)\s+(\S.*?)\s*\|([0-9a-f:.]+)\s*\|(\d+%)\s+(\d+MiB)\((\d+MiB)\)", re.IGNORECASE)
_BODY = re.compile(r"\|(\d+)C\s")


def parse(text: str) -> list[Device]:
    """Devices of either form."""
    if text.lstrip().startswith("{"):
        return [_gpu(gpu) for gpu in json.loads(text).get("GPU", [])]
    return [
        Device(int(a[1]), a[2], mib(a[6]), mib(a[5]), share(a[4]), temperature_c=float(b[1]), bus=a[3])
        for a, b in pairs(text, _HEAD, _BODY)
    ]


def _gpu(gpu: Mapping[str, Any]) -> Device:
    memory = gpu.get("FB Memory Usage", {})
    return Device(
        index=int(gpu["Index"]),
        name=gpu["Product Name"],
        memory_bytes=mib(memory.get("Total")),
        used_bytes=mib(memory.get("Used")),
        utilisation=share(gpu.get("Utilization", {}).get("Gpu")),
        uuid=str(gpu.get("GPU UUID", "")),
        temperature_c=quantity(gpu.get("Temperature", {}).get("GPU Current Temp")),
    )
