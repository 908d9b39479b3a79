"""`eke calibrate`: what this machine's cores really reach, measured once and kept in `~/.eke/profiles/<chip>.yaml`.

The measuring is done by another process (`_probe.py`). A file is written whole or not at all: a failed calibration
leaves the old one in place, and a file made on another machine is not used. Knows no model and no engine.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import yaml

from eke import home
from eke.cost.profile import slug
from eke.errors import EkeError, InputError
from eke.figures import Figure, Precision
from eke.fleet.chip import Chip
from eke.models import catalogue, weights

FORMAT = "eke.calibration/1"
Progress = Callable[[str, float], None]  # what was measured last, share done

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_COMMAND = (sys.executable, "-m", "eke.cost._probe")
_ENGINE = (sys.executable, "-m", "eke.cost._probe_engine")
_MODEL = "embedded"  # whose weights the engine is measured with
_PATIENCE_S = 180.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure: the median of short repeats taken in rounds.

    Attributes:
        value: all cores together, FLOP/s or bytes/s.
        one_core: one core alone.
        spread: distance of the quartiles over the median.
    """

    value: float
    one_core: float
    spread: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured where, when and with what; `skipped` says what could not be, and why."""

    chip: str
    host_cpu: str
    cores: int
    date: str
    command: str
    versions: Mapping[str, str]
    figures: Mapping[str, Measured]
    skipped: Mapping[str, str]


def path(chip: Chip) -> Path:
    """Where the calibration of `chip` lies."""
    return home.profiles() / f"{slug(chip.name)}.yaml"


def host_cpu() -> str:
    """This machine's processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load(chip: Chip) -> Calibration | None:
    """The calibration of `chip` made on this machine, if there is one that can be read."""
    file = path(chip)
    if not file.exists():
        return None
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        if document.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        figures = {name: Measured(**values) for name, values in document.pop("figures").items()}
        found = Calibration(**document, figures=figures)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as fault:
        _log.warning("%s cannot be read (%s); it will be measured again", file, fault)
        return None
    if (found.chip, found.host_cpu) != (chip.name, host_cpu()):
        _log.warning("%s was measured on %s (%s), not here", file, found.chip, found.host_cpu)
        return None
    if find_spec("torch") is not None and "torch" not in found.versions:
        _log.info("%s was measured without torch, which is here now", file)
        return None
    if "llamacpp" in found.skipped and _engine_weights() is not None:
        _log.info("%s was measured without the embedded engine, which is here now", file)
        return None
    return found


def save(calibration: Calibration, file: Path) -> None:
    """Write the file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"format": FORMAT, **asdict(calibration)}, sort_keys=False, allow_unicode=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".part", delete=False, encoding="utf-8") as part:
        part.write(text)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).replace(file)


def measure(chip: Chip, progress: Progress | None = None) -> Calibration:
    """Measure this machine as `chip`, in 10 to 30 seconds.

    Raises:
        InputError: `chip` is not a CPU.
        EkeError: the measuring process failed; nothing is written.
    """
    if chip.kind != "cpu":
        raise InputError(
            f"{chip.name} cannot be calibrated yet",
            why="this version measures CPUs; accelerators take their figures from the catalogue",
            remedy="give its figures in the scenario, as an inline chip",
        )
    head, lines = _probe(progress or (lambda _what, _done: None))
    figures, skipped = _figures(lines, head["cores"], chip.cores / head["cores"])
    more, why = _engine_figures(progress or (lambda _what, _done: None), figures)
    figures, skipped = figures | more, skipped | why
    if missing := {"flops.fp32", "memory_bandwidth"} - set(figures):
        raise EkeError(f"calibration could not measure {', '.join(sorted(missing))}", why="; ".join(skipped.values()))
    return Calibration(
        chip=chip.name,
        host_cpu=host_cpu(),
        cores=chip.cores,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command="eke calibrate",
        versions=head["versions"],
        figures=figures,
        skipped=skipped,
    )


def _engine_weights() -> Path | None:
    """Weights to measure the embedded engine with, if it and they are here."""
    return weights.path(_MODEL) if find_spec("xllamacpp") is not None else None


def _engine_figures(progress: Progress, machine: Mapping[str, Measured]) -> tuple[dict[str, Measured], dict[str, str]]:
    """What the embedded engine reaches; on all cores it is taken to gain as products in fp32 do."""
    if (file := _engine_weights()) is None:
        return {}, {"llamacpp": "no weights or no engine to measure it with; `eke models fetch embedded`"}
    a = catalogue.architecture(_MODEL)
    head = a.head_parameters or a.embedding_parameters
    sizes = (str(a.active_parameters - head), str(head))
    try:
        _, lines = _run((*_ENGINE, str(file), *sizes), progress)
    except EkeError as fault:
        return {}, {"llamacpp": str(fault).replace("\n", "; ")}
    found: dict[str, Measured] = {}
    gain = machine["flops.fp32"].value / machine["flops.fp32"].one_core if "flops.fp32" in machine else 1.0
    for name in dict.fromkeys(line["name"] for line in lines):
        low, median, high = statistics.quantiles([x["rate"] for x in lines if x["name"] == name], n=4)
        found[name] = Measured(median * gain, median, spread=(high - low) / median)
    return found, {}


def _probe(progress: Progress) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return _run(_COMMAND, progress)


def _run(command: tuple[str, ...], progress: Progress) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=os.environ | _ONE_THREAD
        )
        assert process.stdout is not None
        head: dict[str, Any] = {}
        lines: list[dict[str, Any]] = []
        try:
            for text in process.stdout:
                if not head:
                    head = json.loads(text)
                    progress("getting ready", 0.0)
                    continue
                lines.append(json.loads(text))
                progress(_spoken(lines[-1]), len(lines) / head["steps"])
            code = process.wait(_PATIENCE_S)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        if code or not head:
            complaints.seek(0)
            said = complaints.read().strip().splitlines()
            raise EkeError(
                f"the measuring process ended with status {code}; the old calibration stays",
                why=said[-1] if said else "",
                remedy=f"run it by hand: {' '.join(command)}",
            )
    return head, lines


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


def apply(chip: Chip, calibration: Calibration) -> Chip:
    """`chip` with measured peaks and bandwidth instead of what it had."""
    note = f"{calibration.host_cpu}, {calibration.cores} cores"
    source = f"{calibration.command}, {calibration.date}"
    flops = {
        cast("Precision", name.removeprefix("flops.")): figure.value
        for name, figure in calibration.figures.items()
        if name.startswith("flops.")
    }
    figures = {name: Figure(f.value, source, "measured", note) for name, f in calibration.figures.items()}
    return replace(
        chip,
        flops=flops,
        memory_bandwidth=calibration.figures["memory_bandwidth"].value,
        figures={**chip.figures, **figures},
    )


def ensure(chip: Chip, progress: Progress | None = None, *, force: bool = False) -> Chip:
    """`chip` with figures: measured here before, or known from a catalogue, or measured now.

    Args:
        chip: as detected.
        progress: told what was measured and the share done.
        force: measure again even where figures are known.
    """
    if not force:
        if (known := load(chip)) is not None:
            return apply(chip, known)
        if chip.flops and chip.memory_bandwidth > 0:
            return chip
    calibration = measure(chip, progress)
    save(calibration, path(chip))
    return apply(chip, calibration)
