"""Files that are whole or not there: written beside, flushed to the disk, then renamed over. Knows no formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIX = ".partial"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; when the block ends well it becomes `path`, otherwise it is gone and `path` is as it was."""
    partial = path.with_name(path.name + SUFFIX)
    try:
        yield partial
        flush(partial)
        partial.replace(path)
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until the file or folder is on the disk, so that a power cut cannot take it back."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what an earlier process was still writing when it died."""
    for path in folder.glob("*" + SUFFIX):
        path.unlink(missing_ok=True)
