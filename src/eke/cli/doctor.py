"""`eke doctor`: what is there, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from eke import home
from eke.cli.output import Format, Output, rows_table, show
from eke.units import show_bytes

PORT = 8400


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `state`: ok, missing (something optional will not work) or broken (nothing will)."""

    part: str
    state: str
    found: str
    remedy: str = ""


def _python() -> Finding:
    found = f"{platform.python_version()} in {sys.prefix}"
    return Finding("python", "ok" if sys.version_info >= (3, 11) else "broken", found, "")


def _package(part: str, package: str, extra: str, what: str) -> Finding:
    try:
        return Finding(part, "ok", f"{package} {version(package)}")
    except PackageNotFoundError:
        return Finding(part, "missing", f"{package} is not installed: no {what}", f"pip install 'eke[{extra}]'")


def _home() -> Finding:
    from eke.models import weights

    place = home.home()
    nearest = next(p for p in (place, *place.parents) if p.exists())
    if not os.access(nearest, os.W_OK):
        return Finding("home", "broken", f"{place} cannot be written", "set EKE_HOME to a folder you own")
    free = shutil.disk_usage(nearest).free
    state = "ok" if free > 3 * weights.find("embedded").bytes else "broken"
    return Finding("home", state, f"{place}, {show_bytes(free)} free", "free 1.5 GB, or set EKE_HOME elsewhere")


def _chips() -> Finding:
    from eke.fleet import detect

    pools = detect.fleet().pools
    found = ", ".join(f"{p.chips} x {p.chip.name}" for p in pools)
    return Finding("chips", "ok" if pools else "broken", found or "none", "see `eke fleet detect`")


def _calibration() -> Finding:
    from eke.cost import calibration
    from eke.fleet import detect

    names = dict.fromkeys(p.chip.name for p in detect.fleet().pools)
    if lacking := [name for name in names if calibration.load(name) is None]:
        return Finding("calibration", "missing", f"{', '.join(lacking)}: never measured here", "eke calibrate")
    return Finding("calibration", "ok", str(home.profiles()))


def _model() -> Finding:
    from eke.models import weights

    path = weights.path("embedded")
    if path is None:
        return Finding("embedded model", "missing", "not fetched", "eke models fetch embedded")
    return Finding("embedded model", "ok", str(path))


def _sqlite() -> Finding:
    state = "ok" if sqlite3.sqlite_version_info >= (3, 35) else "broken"
    return Finding(
        "database", state, f"SQLite {sqlite3.sqlite_version}", "use a Python built with SQLite 3.35 or newer"
    )


def _port() -> Finding:
    with socket.socket() as s:
        s.settimeout(0.2)
        busy = s.connect_ex(("127.0.0.1", PORT)) == 0
    if busy:
        return Finding("port", "missing", f"127.0.0.1:{PORT} is in use (an `eke up`?)", "eke status, or eke up --port")
    return Finding("port", "ok", f"127.0.0.1:{PORT} is free")


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _home,
    _sqlite,
    _chips,
    _calibration,
    lambda: _package("embedded engine", "xllamacpp", "local", "serving on this machine without another engine"),
    _model,
    lambda: _package("training", "torch", "train", "training"),
    lambda: _package("many machines", "ray", "ray", "runs over several machines"),
    _port,
)


def doctor(output: Output = Format.table) -> None:
    """Say what is there, what is missing, and how to get it."""
    findings = [check() for check in CHECKS]
    rows = [
        {"part": f.part, "state": f.state, "found": f.found, "try": f.remedy if f.state != "ok" else ""}
        for f in findings
    ]
    show({"format": "eke.doctor/1", "findings": rows}, rows, output, rows_table(rows))
    if any(f.state == "broken" for f in findings):
        raise SystemExit(1)
