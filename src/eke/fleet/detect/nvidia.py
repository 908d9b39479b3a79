"""NVIDIA: `nvidia-smi` as CSV, and as XML where a device is cut (MIG) or the CSV does not know its memory."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

from eke.fleet.detect import _query
from eke.fleet.detect.base import Command, Device, mib, quantity, share

VENDOR = "NVIDIA"
PCI_IDS = frozenset({"10de"})
VISIBLE = ("CUDA_VISIBLE_DEVICES",)
COMMANDS = (
    (Command(("nvidia-smi", f"--query-gpu={','.join(_query.COLUMNS)}", "--format=csv")),),
    (Command(("nvidia-smi", "-q", "-x")),),
    (Command(("nvidia-smi", "-L")),),
)

_LISTED = re.compile(r"^GPU (\d+): (.+?) \(UUID: ([\w-]+)\)")


def parse(text: str) -> list[Device]:
    """Devices from `--query-gpu` (with or without its header), `-q -x` or `-L`."""
    if "<nvidia_smi_log" in text:
        return [
            _element(n, gpu) for n, gpu in enumerate(ElementTree.fromstring(text[text.index("<?xml") :]).iter("gpu"))
        ]
    if _LISTED.search(text):
        return _listed(text)
    return _query.rows(text)


def _element(index: int, gpu: ElementTree.Element) -> Device:
    def of(path: str) -> str:
        return gpu.findtext(path, "").strip()

    slices = len(gpu.findall("mig_devices/mig_device"))
    return Device(
        index=index,
        name=of("product_name"),
        memory_bytes=mib(of("fb_memory_usage/total")),
        used_bytes=mib(of("fb_memory_usage/used")),
        utilisation=share(of("utilization/gpu_util")),
        uuid=of("uuid"),
        temperature_c=quantity(of("temperature/gpu_temp")),
        bus=gpu.get("id", ""),
        slices=slices if slices or of("mig_mode/current_mig") != "Enabled" else None,
    )


def _listed(text: str) -> list[Device]:
    devices: list[Device] = []
    for line in text.splitlines():
        if match := _LISTED.match(line):
            devices.append(Device(int(match[1]), match[2], uuid=match[3]))
        elif devices and line.strip().startswith("MIG "):
            devices[-1] = replace(devices[-1], slices=(devices[-1].slices or 0) + 1)
    return devices
