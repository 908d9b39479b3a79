"""The CPU as a chip: cores this process may use, memory it may fill; how fast they are, only a measurement tells.

Cores are the fewest of the affinity mask and the control group's quota: a container's limit is the machine it has.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

from eke.fleet.chip import Chip
from eke.fleet.detect.base import Device
from eke.fleet.pool import Fleet, Pool

VENDOR = "CPU"
PCI_IDS: frozenset[str] = frozenset()
VISIBLE: tuple[str, ...] = ()
COMMANDS = ()

_VENDORS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "HygonGenuine": "Hygon"}
_CGROUP = Path("/sys/fs/cgroup")
_NOISE = re.compile(r"\((?:r|tm)\)|\b(?:cpu|processor)\b|@.*|\b\d+-core\b", re.IGNORECASE)


def parse(text: str) -> list[Device]:
    """The CPU of a `/proc/cpuinfo`, as one device."""
    match = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return [Device(0, match[1].strip() if match else platform.machine() or "cpu")]


def slug(name: str) -> str:
    """`Intel(R) Xeon(R) Processor @ 2.00GHz` as `intel-xeon`."""
    return re.sub(r"[^a-z0-9.]+", "-", _NOISE.sub(" ", name).lower()).strip("-") or "cpu"


def chip(cpuinfo: str | None = None) -> Chip:
    """This machine's CPU. No FLOP/s and a bandwidth of 0 until it is calibrated."""
    try:
        text = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    except OSError:
        text = ""
    name, n = parse(text)[0].name, cores()
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", text, re.MULTILINE)
    return Chip(
        name=f"{slug(name)}-{n}c",
        vendor=_VENDORS.get(vendor[1] if vendor else "", ""),
        kind="cpu",
        architecture=platform.machine(),
        flops={},
        memory=memory_bytes(),
        memory_bandwidth=0.0,
        cores=n,
        engines=("llamacpp", "vllm-cpu"),
    )  # fmt: skip


def fleet() -> Fleet:
    """This machine as a pool of one chip."""
    return Fleet((Pool("this-machine", chip(), nodes=1, chips_per_node=1),))


def cores(root: Path = _CGROUP) -> int:
    """Whole cores this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(min(_quotas(root), default=float(allowed)) + 1e-9)))


def memory_bytes(root: Path = _CGROUP) -> float:
    """Bytes this process may fill."""
    return float(min([psutil.virtual_memory().total, *_limits(root)]))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """This process's control group and those above it, version 2 and version 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        top = root / controller if controllers else root
        own = top / path.lstrip("/")
        yield from (own, *(p for p in own.parents if p.is_relative_to(top)))
    yield from (root, root / controller)


def _quotas(root: Path) -> list[float]:
    found = []
    for group in _groups(root, "cpu"):
        words = (
            _read(group / "cpu.max") or f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
        ).split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            found.append(int(words[0]) / int(words[1]))
    return found


def _limits(root: Path) -> list[int]:
    texts = [_read(g / f) for g in _groups(root, "memory") for f in ("memory.max", "memory.limit_in_bytes")]
    return [int(t) for t in texts if t.isdigit()]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
