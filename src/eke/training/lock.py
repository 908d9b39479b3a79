"""One trainer a folder: an advisory lock that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eke.errors import EkeError

NAME = "lock"
TRIES, PAUSE_S = 20, 0.1  # a reader holds the lock for a moment when it asks whether somebody trains


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the block.

    Raises:
        EkeError: another process trains there.
    """
    with (folder / NAME).open("ab") as file:
        for remaining in reversed(range(TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not remaining:
                    raise EkeError(
                        f"another process is training in {folder}",
                        remedy="wait for it, stop it, or train in another folder",
                    ) from None
                time.sleep(PAUSE_S)
        yield


def is_held(folder: Path) -> bool:
    """Whether a process trains there now."""
    try:
        with (folder / NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
