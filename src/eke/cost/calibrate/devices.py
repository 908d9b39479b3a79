"""Measuring a chip through torch: which device it is, its kernels, the links to its neighbours.

Which catalogue chip a device is, the vendors' own tools say (`eke.fleet.detect`); torch's name and memory for it must
agree, for chips of five vendors answer to torch as `cuda`. The measuring is done by other processes (`_device.py`,
`_kernels.py`, `_links.py`), so nothing here imports torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eke.cost.calibrate import _process
from eke.cost.calibrate.cores import Progress
from eke.errors import EkeError, InputError, NotInstalled, UnknownName
from eke.figures import FALLBACK, Precision
from eke.fleet.chip import Chip
from eke.fleet.detect.base import Device
from eke.fleet.identify import chip_of

PRECISIONS: tuple[Precision, ...] = ("bf16", "fp16", "fp8", "int8", "tf32", "fp32")  # torch has products in these
LINKS_S = 30.0
CPU_RANKS = 2
PATIENCE, START_S = 3.0, 300.0  # times what was asked for; and for a driver's first start, on a busy machine


@dataclass(frozen=True, slots=True)
class Place:
    """A chip as torch sees it: it and its like in this machine, as torch names them (`npu:0`).

    Attributes:
        dies: devices that make one chip, where each of its dies shows as one.
    """

    chip: Chip
    devices: tuple[str, ...]
    dies: int = 1

    @property
    def unit(self) -> Chip:
        """What one device is: the chip, one of its dies, or a core."""
        if self.chip.kind == "cpu":
            return self.chip.core()
        flops = {precision: peak / self.dies for precision, peak in self.chip.flops.items()}
        return replace(self.chip, flops=flops, memory_bandwidth=self.chip.memory_bandwidth / self.dies)


@dataclass(frozen=True, slots=True)
class Timings:
    """What was timed: `lines` as measured, `failed` with reasons, and what it ran on."""

    lines: Sequence[Mapping[str, Any]]
    failed: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]


def find(detected: Sequence[Chip], wanted: str | None = None, device: str | None = None) -> Place:
    """Where to measure: the device torch has for a detected chip.

    Args:
        detected: kinds of chip the vendors' tools found here, or this CPU.
        wanted: only this chip will do.
        device: torch's name of the device to measure; default: the first that is such a chip.

    Raises:
        NotInstalled: torch is not here.
        InputError: torch sees no such device, or one that is not the chip the tools found, or not the wanted one.
    """
    if find_spec("torch") is None:
        raise NotInstalled("torch", "train")
    cpu = next((chip for chip in detected if chip.kind == "cpu"), None)
    if wanted and wanted not in {chip.name for chip in detected}:
        names = ", ".join(chip.name for chip in detected)
        raise InputError(
            f"{wanted} is not in this machine, so nothing is measured for it",
            why=f"found here: {names or 'nothing'}",
            remedy="run it where the chip is, or fit your records: eke calibrate --from FILE --chip " + wanted,
        )
    if device == "cpu" or (device is None and cpu is not None and wanted in (None, cpu.name)):
        if cpu is None:
            raise InputError("--device cpu: this machine's CPU is not what it computes on", remedy="leave it out")
        return Place(cpu, ("cpu",) * min(cpu.cores, CPU_RANKS))
    return _place(seen(), [chip for chip in detected if chip.kind != "cpu"], wanted, device)


def seen() -> list[Device]:
    """Accelerators torch sees, `uuid` being torch's name of each."""
    lines = _process.lines([_process.python("eke.cost.calibrate._device")], START_S)
    return [Device(n, at["name"], at["memory_bytes"], uuid=at["device"]) for n, at in enumerate(lines)]


def _place(devices: Sequence[Device], detected: Sequence[Chip], wanted: str | None, device: str | None) -> Place:
    named = [(d.uuid, *_chip(d, detected)) for d in devices]
    fitting = [
        (name, chip, dies)
        for name, chip, dies in named
        if chip is not None and device in (None, name, name.partition(":")[0]) and wanted in (None, chip.name)
    ]
    if not fitting:
        told = ", ".join(f"{d.uuid} {d.name} ({(d.memory_bytes or 0) / 2**30:.0f} GiB)" for d in devices)
        raise InputError(
            f"torch has no device that is a {wanted or ' or '.join(c.name for c in detected) or 'known accelerator'}"
            + (f" at {device}" if device else ""),
            why=f"torch sees {told or 'no accelerator'}; the vendors' tools see "
            + (", ".join(c.name for c in detected) or "none"),
            remedy="install the vendor's torch (torch_npu, torch_mlu, torch_musa …), or choose with --device or --chip",
        )
    first, chip, dies = fitting[0]
    others = [name for name, c, _ in named if c is not None and c.name == chip.name and name != first]
    return Place(chip, (first, *others), dies)


def _chip(device: Device, detected: Sequence[Chip]) -> tuple[Chip | None, int]:
    """The detected chip a device of torch's is, and how many such make one; None: none of them, or nobody can say."""
    try:
        chip, dies = chip_of(device)
    except UnknownName:  # torch's name says nothing: then memory must
        alike = [c for c in detected if 0.85 < (device.memory_bytes or 0) / c.memory < 1.12]
        return (alike[0] if len(alike) == 1 == len(detected) else None), 1
    return next((c for c in detected if c.name == chip.name), None), dies


def attention_precision(chip: Chip) -> Precision:
    """What attention runs in: 16 bits; on a CPU 32, as the cost model has it."""
    if chip.kind == "cpu":
        return "fp32"
    return next(p for p in ("bf16", *FALLBACK["bf16"]) if chip.flops.get(p))


def measure(place: Place, seconds: float, progress: Progress) -> Timings:
    """Time the kernels of one chip in about `seconds`, then the links between all of its kind.

    Raises:
        EkeError: the measuring process failed.
    """
    precisions = ",".join(p for p in PRECISIONS if place.chip.flops.get(p))
    words = (
        "--device", place.devices[0], "--precisions", precisions, "--attention", attention_precision(place.chip),
        "--seconds", str(seconds),
    )  # fmt: skip
    command = _process.python("eke.cost.calibrate._kernels", *words)
    head, *found = _told([command], seconds * PATIENCE + START_S, progress)
    if place.dies == 1 < len(place.devices):  # between dies of a chip is no link of the chip's
        found += _links(place.devices, progress)
    return Timings(
        [line for line in found if "failed" not in line],
        [line for line in found if "failed" in line],
        {"device": place.devices[0], **head["versions"]},
    )


def _links(devices: Sequence[str], progress: Progress) -> list[dict[str, Any]]:
    """All-reduces over `devices`; where they cannot be done, one line says why, and the kernels are not lost."""
    with tempfile.TemporaryDirectory(prefix="eke-links-") as folder:
        where = ("--world", str(len(devices)), "--meet", str(Path(folder) / "meet"), "--seconds", str(LINKS_S))
        commands = [
            _process.python("eke.cost.calibrate._links", "--device", device, "--rank", str(rank), *where)
            for rank, device in enumerate(devices)
        ]
        env = {"GLOO_SOCKET_IFNAME": "lo"} if devices[0] == "cpu" else {}
        try:
            return _told(commands, LINKS_S * PATIENCE + START_S, progress, env)[1:]
        except EkeError as error:
            return [{"what": "all-reduce", "failed": f"{error.what.split(';')[0]}: {error.why}"}]


def _told(
    commands: Sequence[Sequence[str]], patience_s: float, progress: Progress, env: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for line in _process.lines(commands, patience_s, env):
        said.append(line)
        progress(spoken(line), (len(said) - 1) / said[0]["steps"])
    return said


def spoken(line: Mapping[str, Any]) -> str:
    """A line in a few words."""
    match line.get("what"):
        case "gemm":
            return f"{line['precision']} product {line['m']}x{line['k']}x{line['n']}"
        case "stream":
            return f"stream of {line['bytes'] / 1e6:,.0f} MB"
        case "prefill":
            return f"attention over a prompt of {line['tokens']:,}"
        case "decode":
            return f"attention over {line['sequences']} caches of {line['context']:,}"
        case "all-reduce":
            return f"all-reduce of {line['bytes'] / 1e6:.3g} MB over {line['ranks']}"
        case "launch":
            return "launch"
        case _:
            return "getting ready"
