"""AMD: `amd-smi static --json`, or `rocm-smi --json`. Hygon ships a `rocm-smi` too; its cards are not taken here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from eke.fleet.detect.base import MIB, Command, Device, quantity, share

VENDOR = "AMD"
PCI_IDS = frozenset({"1002"})
VISIBLE = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
COMMANDS = (
    (Command(("amd-smi", "static", "--json")),),
    (
        Command((
            "rocm-smi", "--showid", "--showproductname", "--showuniqueid", "--showmeminfo", "vram",
            "--showuse", "--showtemp", "--showbus", "--json",
        )),
    ),
)  # fmt: skip

_UNITS = {"B": 1.0, "KB": 1024.0, "MB": MIB, "GB": 2.0**30}


def parse(text: str) -> list[Device]:
    """Devices of either tool: `{"gpu_data": […]}`, a bare list, or `{"card0": {…}}`."""
    start = re.search(r"[{\[]", text)
    if start is None:
        return []
    try:
        document = json.loads(text[start.start() :])
    except ValueError:
        return []
    if isinstance(document, list) or "gpu_data" in document:
        return [_static(gpu) for gpu in (document if isinstance(document, list) else document["gpu_data"])]
    return [_card(key, card) for key, card in document.items() if re.fullmatch(r"card\d+", key) and _is_amd(card)]


def _is_amd(card: Mapping[str, str]) -> bool:
    return any("VRAM Total" in key for key in card) and "haiguang" not in str(card).casefold()


def _static(gpu: Mapping[str, Any]) -> Device:
    size = gpu["vram"]["size"]
    return Device(
        index=int(gpu["gpu"]),
        name=gpu["asic"]["market_name"],
        memory_bytes=float(size["value"]) * _UNITS[size["unit"]] if quantity(str(size["value"])) is not None else None,
        bus=gpu.get("bus", {}).get("bdf", ""),
    )


def _card(key: str, card: Mapping[str, str]) -> Device:
    named = {k.casefold(): v for k, v in card.items()}
    edge, junction = (quantity(named.get(f"temperature (sensor {s}) (c)")) for s in ("edge", "junction"))
    return Device(
        index=int(key.removeprefix("card")),
        name=_name(named.get("card series") or "", named.get("device name") or ""),
        memory_bytes=quantity(named.get("vram total memory (b)")),
        used_bytes=quantity(named.get("vram total used memory (b)")),
        utilisation=share(named.get("gpu use (%)")),
        uuid=named.get("unique id", "").removeprefix("N/A"),
        temperature_c=junction if edge is None else edge,
        bus=named.get("pci bus", ""),
    )


def _name(series: str, device: str) -> str:
    """What stands in brackets is what is sold: `Arcturus GL-XL [Instinct MI100]`."""
    text = series if series and series != "N/A" else device
    match = re.search(r"\[(.+)\]", text)
    return f"AMD {match[1]}" if match and not match[1].startswith("AMD") else match[1] if match else text
