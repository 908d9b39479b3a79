"""Hygon DCU: `hy-smi --json`, often not valid JSON (no commas), so read leniently; or the table, which lacks memory."""

from __future__ import annotations

import re
from collections.abc import Mapping

from eke.fleet.detect.base import MIB, Command, Device, quantity, share

VENDOR = "Hygon"
PCI_IDS = frozenset({"1d94"})
VISIBLE = ("HIP_VISIBLE_DEVICES",)
_ASKED = ("--showproductname", "--showmeminfo", "vram", "--showuse", "--showtemp", "--showuniqueid", "--json")
COMMANDS = (
    (Command(("hy-smi", *_ASKED)),),
    (Command(("rocm-smi", *_ASKED)),),
    (Command(("hy-smi",)),),
)

_CARD = re.compile(r'"card(\d+)"\s*:')
_FIELD = re.compile(r'"([^"]*)"\s*:\s*(?:"([^"]*)"|([-\d.]+))')
_MEMORY = re.compile(r"vram total (used )?memory \((b|mib)\)")
_ROW = re.compile(r"^(\d+)\s+([\d.]+)C\s+\S+W\s+.*?([\d.]+)%\s+([\d.]+)%(?:\s+\S+)?\s*$", re.MULTILINE | re.IGNORECASE)


def parse(text: str) -> list[Device]:
    """Devices from the JSON, valid or not, or from the table. Output without a sign of Hygon gives none."""
    if "{" not in text:
        return _table(text) if re.search(r"^DCU\s", text, re.MULTILINE) else []
    if not re.search(r"DCU|HCU|haiguang|hygon|K1\w\w", text, re.IGNORECASE):
        return []
    parts = _CARD.split(text)[1:]
    return [_card(int(n), body) for n, body in zip(parts[::2], parts[1::2], strict=True)]


def _card(index: int, body: str) -> Device:
    named = {k.casefold(): a or b for k, a, b in _FIELD.findall(body)}
    total, used = _memory(named)
    return Device(
        index=index,
        name=named.get("card series", "Hygon DCU"),
        memory_bytes=total,
        used_bytes=used,
        utilisation=share(named.get("dcu use (%)") or named.get("hcu use (%)")),
        uuid=named.get("unique id", ""),
        temperature_c=quantity(named.get("temperature (sensor edge) (c)")),
    )


def _memory(named: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Total and used; the unit stands in the key: `vram Total Memory (MiB)`, elsewhere `(B)`."""
    found: dict[bool, float | None] = {}
    for key, value in named.items():
        if match := _MEMORY.fullmatch(key):
            amount = quantity(value)
            found[bool(match[1])] = None if amount is None else amount * (MIB if match[2] == "mib" else 1.0)
    return found.get(False), found.get(True)


def _table(text: str) -> list[Device]:
    return [
        Device(int(n), "Hygon DCU", temperature_c=float(celsius), utilisation=float(busy) / 100)
        for n, celsius, _vram, busy in _ROW.findall(text)
    ]
