"""A calibration: what was found out about one chip here, in `~/.eke/profiles/<chip>.yaml`. It measures nothing.

One file a chip, of up to four parts, each with its own date and command, each replaced alone:

    figures    what the cores of this machine reach: a CPU's peaks, which no datasheet states
    kernels    shares of peak, half-sizes and links, from kernels timed on the chip itself
    serving    by engine, what the user's own serving records say
    training   by framework, what the user's own training records say

A file is written whole or not at all. It wins over what Eke ships (see `profile.find`, `trainers.find`).
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from eke import home
from eke.document import read as read_yaml

FORMAT = "eke.calibration/2"
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
class Figures:
    """What a CPU's cores reach, where and with what; `skipped` says what could not be measured, and why."""

    host: str
    cores: int
    date: str
    command: str
    versions: Mapping[str, str]
    values: Mapping[str, Measured]
    skipped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Error:
    """How far predictions were from `points` measurements: median |predicted/measured - 1|, before and after a fit."""

    points: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients that replace the shipped ones, and what they rest on.

    Attributes:
        coefficients: by name, as `Profile` and `Trainer` have them; a table (by precision) replaces entry by entry.
        made_on: device, driver, torch, file: whatever says what was measured.
        points: measurements they were fitted to.
        errors: by kind of measurement; of rows the fit did not see, where it was to records.
        spread: standard deviation of ln(measured / predicted); None: as shipped.
        left_out: what was not used, and why.
    """

    date: str
    command: str
    made_on: Mapping[str, str]
    points: int
    coefficients: Mapping[str, Any]
    errors: Mapping[str, Error]
    spread: float | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """One line for a prediction that rests on it."""
        return f"{self.command}, {self.date}: {self.points} measurements here"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything found out about one chip."""

    chip: str
    figures: Figures | None = None
    kernels: Fit | None = None
    serving: Mapping[str, Fit] = field(default_factory=dict)
    training: Mapping[str, Fit] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As it lies in the file; empty parts left out."""
        return {"format": FORMAT} | {name: part for name, part in asdict(self).items() if part}


def slug(chip: str) -> str:
    """A chip's name as a file name: `H100-SXM` as `h100-sxm`."""
    return re.sub(r"[^a-z0-9]+", "-", chip.casefold()).strip("-")


def path(chip: str) -> Path:
    """Where the calibration of `chip` lies."""
    return home.profiles() / f"{slug(chip)}.yaml"


def load(chip: str) -> Calibration | None:
    """The calibration of `chip`; None where there is none, or none that can be read (a warning says so)."""
    file = path(chip)
    try:
        state = file.stat()
    except OSError:
        return None
    found = _read(file, state.st_mtime_ns, state.st_size)
    return found if found and found.chip == chip else None


def every() -> list[Calibration]:
    """All calibrations here, by name of file."""
    files = sorted(home.profiles().glob("*.yaml"))
    found = [_read(f, f.stat().st_mtime_ns, f.stat().st_size) for f in files]
    return [calibration for calibration in found if calibration]


def save(calibration: Calibration) -> Path:
    """Write the file, whole or not at all."""
    file = path(calibration.chip)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(calibration.document(), sort_keys=False, allow_unicode=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".part", delete=False, encoding="utf-8") as part:
        try:
            part.write(text)
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).replace(file)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    return file


def remove(chip: str) -> bool:
    """Take the calibration of `chip` away; whether there was one."""
    there = path(chip).exists()
    path(chip).unlink(missing_ok=True)
    return there


def merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of `over` instead; tables entry by entry."""
    return {**values} | {
        name: {**values[name], **new} if isinstance(new, Mapping) and isinstance(values.get(name), Mapping) else new
        for name, new in over.items()
    }


@lru_cache(maxsize=64)
def _read(file: Path, _changed: int, _size: int) -> Calibration | None:
    """The file as of a time and size, so that it is parsed (and complained about) once."""
    try:
        document = read_yaml(file.read_text(encoding="utf-8"))
        if document.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        figures, kernels = document.pop("figures", None), document.pop("kernels", None)
        serving, training = (
            {name: _fit(fit) for name, fit in document.pop(part, {}).items()} for part in ("serving", "training")
        )
        return Calibration(
            document["chip"], figures and _figures(figures), kernels and _fit(kernels), serving, training
        )
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as fault:
        _log.warning("%s cannot be read (%s); it is as if it were not there: eke calibrate", file, fault)
        return None


def _figures(values: Mapping[str, Any]) -> Figures:
    return Figures(**{**values, "values": {name: Measured(**one) for name, one in values["values"].items()}})


def _fit(values: Mapping[str, Any]) -> Fit:
    return Fit(**{**values, "errors": {name: Error(**one) for name, one in values["errors"].items()}})
