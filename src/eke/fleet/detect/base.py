"""The contract of a detector: one module a vendor, all of one shape, told by PCI id and the vendor's own tool.

A framework is never asked: chips of five vendors answer to torch as `cuda`. It knows no catalogue.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

MIB = float(2**20)
TOOL_SECONDS = 20.0  # vendors' tools wake sleeping drivers; none needs longer


@dataclass(frozen=True, slots=True)
class Device:
    """One device as its vendor's tool shows it. What the tool does not say is None.

    Attributes:
        index: as the vendor's visible-devices variable counts.
        utilisation: 0 to 1.
        slices: instances the device is cut into (MIG); 0: whole; None: cut, the tool does not say into how many.
    """

    index: int
    name: str
    memory_bytes: float | None = None
    used_bytes: float | None = None
    utilisation: float | None = None
    uuid: str = ""
    temperature_c: float | None = None
    bus: str = ""
    slices: int | None = 0
    vendor: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A tool to ask. `file`: the answer is written there, in the folder it runs in, not on its standard output."""

    argv: tuple[str, ...]
    file: str | None = None


Step = Command | Callable[[str], Iterable[Command]]
Run = Callable[[Command], str | None]


class Detector(Protocol):
    """One vendor. Modules of this folder are detectors.

    Attributes:
        VENDOR: as in the catalogue.
        PCI_IDS: vendor ids on the PCI bus, without `0x`.
        COMMANDS: ways to ask, the best first; a way is steps whose answers are read together, and a step may be a
            function of the answers so far.
        VISIBLE: environment variables that restrict a process to some devices; all of them are set.
    """

    @property
    def VENDOR(self) -> str: ...  # noqa: D102

    @property
    def PCI_IDS(self) -> frozenset[str]: ...  # noqa: D102

    @property
    def COMMANDS(self) -> tuple[tuple[Step, ...], ...]: ...  # noqa: D102

    @property
    def VISIBLE(self) -> tuple[str, ...]: ...  # noqa: D102

    def parse(self, text: str) -> list[Device]:
        """Devices in the tool's output; none when the output is another tool's of the same name."""


def run(command: Command) -> str | None:
    """The answer of a tool, in a folder of its own (some write files where they stand); None: no tool, or it failed."""
    if shutil.which(command.argv[0]) is None:
        return None
    with tempfile.TemporaryDirectory(prefix="eke-detect-") as folder:
        try:
            done = subprocess.run(
                command.argv,
                cwd=folder,
                capture_output=True,
                timeout=TOOL_SECONDS,
                stdin=subprocess.DEVNULL,
                check=True,
            )
            answer = (Path(folder) / command.file).read_bytes() if command.file else done.stdout
        except (OSError, subprocess.SubprocessError):
            return None
    return answer.decode("utf-8", "replace")


def ask(detector: Detector, run: Run) -> list[Device]:
    """Devices by the first way that knows them whole; else by the first that knows any."""
    best: list[Device] = []
    for way in detector.COMMANDS:
        devices = [replace(d, vendor=detector.VENDOR) for d in detector.parse(_transcript(way, run))]
        if devices and all(d.memory_bytes is not None and d.slices is not None for d in devices):
            return devices
        best = best or devices
    return best


def _transcript(way: Iterable[Step], run: Run) -> str:
    text = ""
    for step in way:
        asked = (step,) if isinstance(step, Command) else step(text)
        for command in asked:
            title = "" if isinstance(step, Command) else f"$ {' '.join(command.argv)}\n"
            if (answer := run(command)) is not None:
                text += f"{title}{answer.rstrip()}\n"
    return text


def quantity(text: str | None) -> float | None:
    """The number in `81559 MiB`, `35 %` or `37C`; None for `N/A`, `[Not Supported]`, `xxxxx MiB`."""
    match = re.search(r"-?\d+(?:\.\d+)?", text or "")
    return float(match[0]) if match else None


def mib(text: str | None) -> float | None:
    """Bytes in a text of MiB; `12 GiB` and `34359738368 B` are understood too."""
    value = quantity(text)
    if value is None:
        return None
    unit = re.search(r"(GiB|GB|MiB|MB|KiB|B)\b", text or "")
    return value * {"GiB": 2.0**30, "GB": 2.0**30, "KiB": 1024.0, "B": 1.0}.get(unit[1] if unit else "", MIB)


def share(text: str | None) -> float | None:
    """`35 %` as 0.35."""
    value = quantity(text)
    return None if value is None else value / 100


def pairs(text: str, first: re.Pattern[str], second: re.Pattern[str]) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """Rows of two lines, as most tools draw a device in a box; ends where the list of processes begins."""
    head: re.Match[str] | None = None
    for line in text.splitlines():
        if re.match(r"\W*Process", line):
            return
        if found := first.search(line):
            head = found
        elif head and (found := second.search(line)):
            yield head, found
            head = None
