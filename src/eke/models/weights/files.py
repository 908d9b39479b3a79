"""Files on their way and in place: checksums, one writer at a time, room on the disk, and a record of what was checked.

Knows no source of weights.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eke.errors import ChecksumMismatch, EkeError
from eke.units import show_bytes

Progress = Callable[[str, int, int], None]
"""Told what is being done, bytes done, bytes in all."""

SPARE = 64 * 1024 * 1024
"""Bytes left free beside what a download needs."""

_BLOCK = 1 << 20


def silent(step: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, wanted: str, what: str) -> None:
    """Leave `path` if it has the checksum, delete it if not.

    Raises:
        ChecksumMismatch: it had not.
    """
    found = sha256(path)
    if found == wanted:
        return
    path.unlink()
    raise ChecksumMismatch(
        f"{what} is not the file that was pinned; it was deleted",
        why=f"SHA-256 is {found}, wanted {wanted}",
        remedy="fetch it again, or from another source: --from hub, or --from FILE",
    )


def need_room(folder: Path, bytes_needed: int) -> None:
    """Raise unless the disk of `folder` has room.

    Raises:
        EkeError: says how much is needed, how much is free, and where.
    """
    free = shutil.disk_usage(folder).free
    if free < bytes_needed + SPARE:
        raise EkeError(
            f"not enough room in {folder}: {show_bytes(bytes_needed + SPARE)} needed, {show_bytes(free)} free",
            why="parts and the finished file lie side by side until the checksum is right",
            remedy="free some space, or set EKE_MODELS to a folder on a larger disk",
        )


@contextmanager
def alone(path: Path, progress: Progress) -> Iterator[None]:
    """Hold `path`'s lock; wait while another process fetches the same file."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress("another process is fetching this; waiting", 0, 0)
                time.sleep(0.5)
        yield  # the lock file stays: deleting it would let two processes hold two locks of one name


def place(part: Path, target: Path, *, source: str, checksum: str) -> Path:
    """Move a finished, checked file to its name at once, with a record of where it came from."""
    part.replace(target)
    facts = target.stat()
    record = {"sha256": checksum, "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns, "source": source}
    _record(target).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return target


def checked(target: Path) -> str | None:
    """The checksum `target` had when it was put there, if it is still that file."""
    try:
        record, facts = json.loads(_record(target).read_text("utf-8")), target.stat()
        same = (record["bytes"], record["mtime_ns"]) == (facts.st_size, facts.st_mtime_ns)
        return str(record["sha256"]) if same else None
    except (OSError, ValueError, KeyError):
        return None


def copy(stream: Callable[[int], bytes], out: Path, *, append: bool, tell: Callable[[int], None]) -> None:
    """Write what `stream(n)` reads to `out`, telling how many bytes each block had."""
    with out.open("ab" if append else "wb") as file:
        while block := stream(_BLOCK):
            file.write(block)
            tell(len(block))


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".json")
