"""Cambricon: `cnmon info -j` writes a file into the folder it stands in; else the table of `cnmon`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from eke.fleet.detect.base import MIB, Command, Device, mib, pairs, quantity

VENDOR = "Cambricon"
PCI_IDS = frozenset({"cabc"})
VISIBLE = ("MLU_VISIBLE_DEVICES",)
COMMANDS = (
    (Command(("cnmon", "info", "-e", "-m", "-u", "-j"), file="cnmon_info.json"),),
    (Command(("cnmon",)),),
)

_HEAD = re.compile(r"^\|\s*(\d+)\s+\S*/\S*\s+(\S+)\s+\S+\s*\|\s*([0-9A-F:.]+)\s*\|\s*(\d+)%", re.IGNORECASE)
_BODY = re.compile(r"(\d+)C .*\|\s*(\d+) MiB/\s*(\w+ MiB)")


def parse(text: str) -> list[Device]:
    """Devices from `cnmon_info.json` or the table; masked memory stays unknown."""
    if text.lstrip().startswith("{"):
        cards = json.loads(text)["CnmonInfo"]
        return [_card(n, card) for n, card in enumerate(cards)]
    return [
        Device(int(a[1]), a[2], mib(b[3]), mib(f"{b[2]} MiB"), float(a[4]) / 100, temperature_c=float(b[1]), bus=a[3])
        for a, b in pairs(text, _HEAD, _BODY)
    ]


def _card(position: int, card: Mapping[str, Any]) -> Device:
    memory, usage = card.get("PhysicalMemUsage", {}), card.get("Utilization", {})
    index = quantity(str(card.get("Card", position)))
    busy = quantity(str(usage.get("MLUAverage", "")))
    return Device(
        index=position if index is None else int(index),
        name=card["ProductName"],
        memory_bytes=_bytes(memory.get("Total")),
        used_bytes=_bytes(memory.get("Used")),
        utilisation=None if busy is None else busy / 100,
        uuid=str(card.get("UUID", "")),
    )


def _bytes(value: object) -> float | None:
    amount = quantity(str(value))
    return None if amount is None else amount * MIB
