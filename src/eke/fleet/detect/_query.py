"""The `--query-gpu … --format=csv` of nvidia-smi, which Iluvatar's tool speaks too."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from eke.fleet.detect.base import Device, mib, quantity, share

COLUMNS = (
    "index",
    "name",
    "memory.total",
    "memory.used",
    "utilization.gpu",
    "temperature.gpu",
    "uuid",
    "mig.mode.current",
)


def rows(text: str, columns: Sequence[str] = COLUMNS) -> list[Device]:
    """Devices of a table with a header, or without one in the order of `columns`. Quoted names may hold commas."""
    table = [r for r in csv.reader(io.StringIO(text), skipinitialspace=True) if len(r) > 1]
    if table and "name" in (heads := [re.sub(r" \[.*", "", c.strip()) for c in table[0]]):
        columns, table = heads, table[1:]
    return [_device(dict(zip(columns, row, strict=False)), n) for n, row in enumerate(table)]


def _device(row: dict[str, str], position: int) -> Device:
    index = quantity(row.get("index"))
    return Device(
        index=position if index is None else int(index),
        name=row.get("name", "").strip(),
        memory_bytes=mib(row.get("memory.total")),
        used_bytes=mib(row.get("memory.used")),
        utilisation=share(row.get("utilization.gpu")),
        uuid=row.get("uuid", "").strip(),
        temperature_c=quantity(row.get("temperature.gpu")),
        bus=row.get("pci.bus_id", "").strip(),
        slices=None if row.get("mig.mode.current", "").strip() == "Enabled" else 0,
    )
