"""One torch device under measurement: what to import for it, tensors on it, and timing what runs there.

All vendors' extensions look alike once imported: a torch device type, a module of that name below `torch` with
`device_count`, `get_device_name`, `get_device_properties`, `set_device` and `Event(enable_timing=True)`, and a backend
of `torch.distributed`. What differs stands in one table. AMD, Hygon, Iluvatar, MetaX, T-Head and Kunlunxin answer to
torch as `cuda`. Imported by measuring processes only: nothing else needs torch.

Run as `python -m eke.cost.calibrate._device`, it prints the devices torch sees.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """A torch device type.

    Attributes:
        name: as torch calls it. module: what registers it; "": torch itself.
        backend: of `torch.distributed`; "": whatever torch has registered for it.
        drivers: files that hold the driver's version.
    """

    name: str
    module: str = ""
    backend: str = ""
    drivers: tuple[str, ...] = ()


KINDS = (
    Kind("cuda", "", "nccl", ("/sys/module/nvidia/version", "/sys/module/amdgpu/version")),
    Kind("npu", "torch_npu", "hccl", ("/usr/local/Ascend/driver/version.info",)),
    Kind("mlu", "torch_mlu", "cncl", ("/sys/module/cambricon_drv/version",)),
    Kind("musa", "torch_musa", "mccl", ("/sys/module/mtgpu/version",)),
    Kind("gcu", "torch_gcu", "eccl", ("/sys/module/enflame/version",)),
    Kind("xpu", "", "xccl", ("/sys/module/xe/version",)),
    Kind("cpu", "", "gloo"),
)

DTYPES = {
    "fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8,
}  # fmt: skip
if hasattr(torch, "float8_e4m3fn"):  # torch 2.1
    DTYPES["fp8"] = torch.float8_e4m3fn

ROUND_S = 0.02  # one round: long against an event's resolution of half a microsecond
LEAST, MOST = 3, 15  # rounds
STEADY = 0.02  # quartiles within this share of the median: enough rounds
WARM_S = 0.05


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one run: the median of rounds, and the distance of their quartiles over it."""

    seconds: float
    spread: float
    rounds: int


class Device:
    """One device of torch's, by `cuda:0`, `npu`, `cpu` …

    Raises:
        ImportError: its extension is not installed.
        RuntimeError: torch does not know it.
    """

    def __init__(self, name: str) -> None:
        kind, _, index = name.partition(":")
        self.kind = find_kind(kind)
        self.torch = torch.device(kind) if kind == "cpu" else torch.device(kind, int(index or 0))
        self.api: Any = getattr(torch, kind)
        self._reservoirs: dict[str, torch.Tensor] = {}
        if kind == "cpu":
            torch.set_num_threads(1)  # a CPU is planned by the core, so one core is measured
        else:
            self.api.set_device(self.torch.index)
            if "gfx94" in str(getattr(self.api.get_device_properties(self.torch.index), "gcnArchName", "")):
                DTYPES["fp8"] = torch.float8_e4m3fnuz  # CDNA3 has the one without signed zero

    @property
    def is_cpu(self) -> bool:
        """Whether it is the CPU: no queue, and the clock of its own process."""
        return self.kind.name == "cpu"

    def values(self, shape: Sequence[int], precision: str) -> torch.Tensor:
        """Random values: products of zeros take less power, and are faster than real ones."""
        dtype = DTYPES[precision]
        if precision == "int8":
            return torch.randint(-100, 100, tuple(shape), dtype=dtype, device=self.torch)
        wide = torch.float32 if self.is_cpu or precision in ("fp32", "tf32") else torch.float16
        return torch.randn(*shape, dtype=wide, device=self.torch).to(dtype)

    def reservoir(self, count: int, precision: str) -> torch.Tensor:
        """`count` or more random values in a row, made once: weights and caches are cut from it."""
        held = self._reservoirs.get(precision)
        if held is None or held.numel() < count:
            self._reservoirs.pop(precision, None)
            held = self._reservoirs[precision] = self.values((count,), precision)
        return held

    def wait(self) -> None:
        """Until everything that was asked of it is done."""
        if not self.is_cpu:
            self.api.synchronize()

    def elapsed(self, run: Run, times: int, *, wall: bool = False) -> float:
        """Seconds of `times` runs, one after the other, by the device's own clock.

        A CPU's is the processor time of this process, so that neighbours cost little; `wall`: real time instead.
        """
        if self.is_cpu or wall:
            clock = time.perf_counter if wall else time.process_time
            self.wait()
            began = clock()
            for _ in range(times):
                run()
            self.wait()
            return clock() - began
        start, end = self.api.Event(enable_timing=True), self.api.Event(enable_timing=True)
        start.record()
        for _ in range(times):
            run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    def timed(self, run: Run, budget_s: float) -> Timing:
        """Seconds of one `run`: warmed up, then rounds until they agree or `budget_s` is used up."""
        began = time.monotonic()
        run()
        self.wait()
        once = max(self.elapsed(run, 1), 1e-7)
        times = max(1, min(round(ROUND_S / once), 2000))
        if once < WARM_S:
            self.elapsed(run, times)
        rounds: list[float] = []
        while len(rounds) < MOST:
            rounds.append(self.elapsed(run, times) / times)
            if len(rounds) >= LEAST and (_spread(rounds) < STEADY or time.monotonic() - began > budget_s):
                break
        return Timing(statistics.median(rounds), _spread(rounds), len(rounds))


def _spread(rounds: Sequence[float]) -> float:
    low, median, high = statistics.quantiles(rounds, n=4)
    return (high - low) / median if median > 0 else 0.0


def find_kind(name: str) -> Kind:
    """The kind of that name, its extension imported; one that registers itself with torch needs no entry.

    Raises:
        ImportError: its extension is not installed.
    """
    kind = next((k for k in KINDS if k.name == name), Kind(name))
    if kind.module:
        importlib.import_module(kind.module)
    return kind


def backend(kind: Kind) -> str:
    """What its chips talk through."""
    return kind.backend or str(torch.distributed.get_default_backend_for_device(kind.name))


def visible() -> list[dict[str, Any]]:
    """Every accelerator torch sees here: device, name, memory, driver. Extensions that are not installed see none."""
    own = torch.accelerator.current_accelerator() if hasattr(torch, "accelerator") else None
    extra = [Kind(own.type)] if own is not None and own.type not in {k.name for k in KINDS} else []
    found = []
    for kind in (*KINDS, *extra):
        if kind.name != "cpu":
            with contextlib.suppress(ImportError, RuntimeError, AttributeError, OSError):
                found += _of_kind(kind)
    return found


def _of_kind(kind: Kind) -> list[dict[str, Any]]:
    if kind.module:
        importlib.import_module(kind.module)
    api = getattr(torch, kind.name)
    return [
        {
            "device": f"{kind.name}:{index}",
            "name": str(api.get_device_name(index)),
            "memory_bytes": float(api.get_device_properties(index).total_memory),
        }
        for index in range(api.device_count())
    ]


def versions(kind: Kind) -> dict[str, str]:
    """torch, its extension, the driver and the vendor's libraries, as far as they can be told."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    if kind.module:
        with contextlib.suppress(PackageNotFoundError):
            found[kind.module] = version(kind.module.replace("_", "-"))
    for library in ("cuda", "hip"):
        if kind.name == "cuda" and (said := getattr(torch.version, library, None)):
            found[library] = str(said)
    for file in map(Path, kind.drivers):
        with contextlib.suppress(OSError):
            found["driver"] = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()[0]
    return found


def say(line: dict[str, Any]) -> None:
    """One line of JSON on stdout, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for seen in visible():
        say(seen)
