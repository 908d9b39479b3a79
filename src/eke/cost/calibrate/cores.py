"""What this machine's cores really reach, measured in 10 to 20 seconds without torch: a CPU's peaks.

The measuring is done by other processes (`_cores.py`, `_engine.py`). Figures made on another machine are not used.
"""

from __future__ import annotations

import logging
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from eke.cost import calibration
from eke.cost.calibrate import _process
from eke.cost.calibration import Calibration, Figures, Measured
from eke.errors import EkeError, InputError
from eke.figures import Figure, Precision
from eke.fleet.chip import Chip
from eke.models import catalogue, weights

Progress = Callable[[str, float], None]  # what was measured last, share done

COMMAND = _process.python("eke.cost.calibrate._cores")
ENGINE = _process.python("eke.cost.calibrate._engine")
MODEL = "embedded"  # whose weights the engine is measured with
PATIENCE_S = 180.0
_log = logging.getLogger(__name__)


def host_cpu() -> str:
    """This machine's processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def known(chip: Chip) -> Figures | None:
    """The figures of `chip` measured on this machine, with what is installed now."""
    found = calibration.load(chip.name)
    if found is None or found.figures is None:
        return None
    if found.figures.host != host_cpu():
        _log.warning("%s was measured on %s, not here", calibration.path(chip.name), found.figures.host)
        return None
    if find_spec("torch") is not None and "torch" not in found.figures.versions:
        _log.info("%s was measured without torch, which is here now", calibration.path(chip.name))
        return None
    if "llamacpp" in found.figures.skipped and engine_weights() is not None:
        _log.info("%s was measured without the embedded engine, which is here now", calibration.path(chip.name))
        return None
    return found.figures


def measure(chip: Chip, progress: Progress | None = None) -> Figures:
    """Measure this machine as `chip`, in 10 to 30 seconds.

    Raises:
        InputError: `chip` is not a CPU.
        EkeError: the measuring process failed; nothing is written.
    """
    if chip.kind != "cpu":
        raise InputError(f"{chip.name} is not a CPU: its peaks come from the catalogue", remedy="eke calibrate")
    told = progress or (lambda _what, _done: None)
    head, *lines = _probe(told)
    values, skipped = _figures(lines, head["cores"], chip.cores / head["cores"])
    more, why = _engine_figures(told, values)
    values, skipped = values | more, skipped | why
    if missing := {"flops.fp32", "memory_bandwidth"} - set(values):
        raise EkeError(f"calibration could not measure {', '.join(sorted(missing))}", why="; ".join(skipped.values()))
    return Figures(
        host=host_cpu(),
        cores=chip.cores,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command="eke calibrate",
        versions=head["versions"],
        values=values,
        skipped=skipped,
    )


def engine_weights() -> Path | None:
    """Weights to measure the embedded engine with, if it and they are here."""
    return weights.path(MODEL) if find_spec("xllamacpp") is not None else None


def _engine_figures(progress: Progress, machine: Mapping[str, Measured]) -> tuple[dict[str, Measured], dict[str, str]]:
    """What the embedded engine reaches; on all cores it is taken to gain as products in fp32 do."""
    if (file := engine_weights()) is None:
        return {}, {"llamacpp": "no weights or no engine to measure it with; `eke models fetch embedded`"}
    a = catalogue.architecture(MODEL)
    head = a.head_parameters or a.embedding_parameters
    sizes = (str(a.active_parameters - head), str(head))
    try:
        _, *lines = _said((*ENGINE, str(file), *sizes), progress)
    except EkeError as fault:
        return {}, {"llamacpp": str(fault).replace("\n", "; ")}
    found: dict[str, Measured] = {}
    gain = machine["flops.fp32"].value / machine["flops.fp32"].one_core if "flops.fp32" in machine else 1.0
    for name in dict.fromkeys(line["name"] for line in lines):
        low, median, high = statistics.quantiles([x["rate"] for x in lines if x["name"] == name], n=4)
        found[name] = Measured(median * gain, median, spread=(high - low) / median)
    return found, {}


def _probe(progress: Progress) -> list[dict[str, Any]]:
    """What the measuring process prints: a head, then measurements."""
    return _said(COMMAND, progress)


def _said(command: Sequence[str], progress: Progress) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for line in _process.lines([command], PATIENCE_S):
        said.append(line)
        progress(_spoken(line) if len(said) > 1 else "getting ready", (len(said) - 1) / said[0]["steps"])
    return said


def _spoken(line: dict[str, Any]) -> str:
    return f"{line['name']} on {line['cores']} core{'s' if line['cores'] > 1 else ''}"


def _figures(lines: list[dict[str, Any]], cores: int, scale: float) -> tuple[dict[str, Measured], dict[str, str]]:
    """Figures, and what could not be measured. `scale`: cores of the chip over `cores` measured."""
    figures: dict[str, Measured] = {}
    skipped = {line["name"]: str(line["failed"]) for line in lines if "failed" in line}
    for name in dict.fromkeys(line["name"] for line in lines if line["name"] not in skipped):
        rates = {n: [x["rate"] for x in lines if (x["name"], x["cores"]) == (name, n)] for n in (1, cores)}
        low, median, high = statistics.quantiles(rates[cores], n=4)
        one = statistics.median(rates[1])
        together = min(median, cores * one)  # more than each does alone is a disturbed measurement
        figures[name] = Measured(together * scale, one, spread=(high - low) / median)
    return figures, skipped


def apply(chip: Chip, figures: Figures) -> Chip:
    """`chip` with measured peaks and bandwidth instead of what it had."""
    note = f"{figures.host}, {figures.cores} cores"
    source = f"{figures.command}, {figures.date}"
    flops = {
        cast("Precision", name.removeprefix("flops.")): figure.value
        for name, figure in figures.values.items()
        if name.startswith("flops.")
    }
    noted = {name: Figure(f.value, source, "measured", note) for name, f in figures.values.items()}
    return replace(
        chip,
        flops=flops,
        memory_bandwidth=figures.values["memory_bandwidth"].value,
        figures={**chip.figures, **noted},
    )


def ensure(chip: Chip, progress: Progress | None = None) -> Chip:
    """`chip` with figures: measured here before, or known from a catalogue, or measured now."""
    if (found := known(chip)) is not None:
        return apply(chip, found)
    if chip.flops and chip.memory_bandwidth > 0:
        return chip
    figures = measure(chip, progress)
    keep(chip, figures)
    return apply(chip, figures)


def keep(chip: Chip, figures: Figures) -> Calibration:
    """Write `figures` beside what else is known of `chip`; of another machine nothing else is kept."""
    before = calibration.load(chip.name)
    here = before is not None and (before.figures is None or before.figures.host == figures.host)
    kept = replace(before if before and here else Calibration(chip.name), figures=figures)
    calibration.save(kept)
    return kept
