"""One at a time: a file lock that the kernel gives back when its holder dies, with the holder's name in the file."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eke.runtime import proc
from eke.runtime.base import Handle


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock if nobody else does; says whether it is ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        me = proc.myself()
        file.truncate(0)
        file.write(json.dumps([me.pid, me.started]))
        file.flush()
        try:
            yield True
        finally:
            file.truncate(0)


def holder(path: Path) -> Handle | None:
    """The living process that holds the lock, or None."""
    try:
        pid, started = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    handle = Handle(pid, started, None)
    return handle if proc.alive(handle) else None
