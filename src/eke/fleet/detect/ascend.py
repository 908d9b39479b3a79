"""Huawei Ascend: `npu-smi info` knows names and memory, `info -m` the logic ids (what visible-devices counts).

A card may hold two chips (310P Duo), and a management controller (`Mcu`) that is no chip. Ascend 950 has other columns
in `info -m`, and there `info -t usages` must be asked without `-c`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from eke.fleet.detect.base import MIB, Command, Device, quantity, share

VENDOR = "Huawei"
PCI_IDS = frozenset({"19e5"})
VISIBLE = ("ASCEND_RT_VISIBLE_DEVICES", "NPU_VISIBLE_DEVICES")

_HEAD = re.compile(r"^\|\s*(\d+)\s+(\S+)\s*\|\s*\w+\s*\|\s*\S+\s+(\d+)")
_BODY = re.compile(r"^\|\s*(\d+)(?:\s+\d+)?\s*\|\s*([0-9A-Fa-f:.]+)\s*\|\s*(\d+)\s+(.*)\|")
_USED = re.compile(r"(\d+)\s*/\s*(\d+)")
_USAGES = re.compile(r"^\$ npu-smi info -t usages -i (\d+)(?: -c (\d+))?\n((?:(?!^\$).*\n?)*)", re.MULTILINE)
_Key = tuple[int, int]


def _usages(text: str) -> list[Command]:
    """Questions for chips whose memory the table did not tell."""
    asked = []
    for (card, chip), name, known in _mapping(text):
        if known is not None and (card, chip) not in _table(text):
            which = () if name.startswith("Ascend950") else ("-c", str(chip))
            asked.append(Command(("npu-smi", "info", "-t", "usages", "-i", str(card), *which)))
    return asked


COMMANDS = ((Command(("npu-smi", "info")), Command(("npu-smi", "info", "-m")), _usages),)


def parse(text: str) -> list[Device]:
    """Devices from `info`, `info -m` and `info -t usages`, any of them alone or one after the other."""
    table, mapping = _table(text), _mapping(text)
    if not mapping:
        return [replace(d, index=n) for n, d in enumerate(table.values())]
    usages = {(int(card), int(chip or 0)): body for card, chip, body in _USAGES.findall(text)}
    devices = []
    for key, name, logic in mapping:
        if logic is not None:
            seen = table.get(key) or _usage(usages.get(key, ""))
            masked = seen.name in ("", "xxx")
            devices.append(replace(seen, index=logic, name=name if masked else seen.name))
    return devices


def _table(text: str) -> dict[_Key, Device]:
    """`npu-smi info`: two lines a chip; HBM where the chip has it, else its DDR."""
    found: dict[_Key, Device] = {}
    head: re.Match[str] | None = None
    for line in text.splitlines():
        if match := _HEAD.match(line):
            head = match
        elif head and (match := _BODY.match(line)):
            memories = [(float(u) * MIB, float(t) * MIB) for u, t in _USED.findall(match[4]) if t != "0"]
            used, total = memories[-1] if memories else (None, None)
            found[int(head[1]), int(match[1])] = Device(
                index=len(found), name=head[2], memory_bytes=total, used_bytes=used,
                utilisation=float(match[3]) / 100, temperature_c=float(head[3]), bus=match[2],
            )  # fmt: skip
            head = None
    return found


def _mapping(text: str) -> list[tuple[_Key, str, int | None]]:
    """`npu-smi info -m`: (NPU, chip), name, and logic id (None: no chip but a controller), in either set of columns."""
    rows: list[tuple[_Key, str, int | None]] = []
    columns: list[str] = []
    for line in text.splitlines():
        if line.startswith("NPU ID") and "Chip ID" in line:
            columns = re.split(r"\s{2,}", line.strip())
        elif columns and re.match(r"\d+\s", line):
            row = dict(zip(columns, re.split(r"\s{2,}", line.strip()), strict=False))
            logic = row.get("Chip Logic ID") or row.get("Chip Phy-ID", "-")
            chip = not row["Chip Name"].casefold().startswith("mcu") and logic != "-"
            rows.append(((int(row["NPU ID"]), int(row["Chip ID"])), row["Chip Name"], int(logic) if chip else None))
        elif columns and not line.strip():
            columns = []
    return rows


def _usage(body: str) -> Device:
    named = {k.strip(): v for k, v in re.findall(r"^(.+?)\s*:\s*(.+)$", body, re.MULTILINE)}
    capacity = quantity(named.get("HBM Capacity(MB)") or named.get("DDR Capacity(MB)"))
    total = None if capacity is None else capacity * MIB
    rate = share(named.get("HBM Usage Rate(%)") or named.get("Memory Usage Rate(%)"))
    return Device(
        index=0, name="", memory_bytes=total, utilisation=share(named.get("Aicore Usage Rate(%)")),
        used_bytes=None if total is None or rate is None else total * rate,
    )  # fmt: skip
