"""Processes of this machine by their right name: a pid and the moment it was born.

The kernel reuses pids, and the wall clock may be set; the start time in `/proc/<pid>/stat`, counted from boot, stays.
Every process of a run also carries the run and its task in its environment, so that one nobody wrote down is found
again. Knows nothing of tasks, fabrics or the database.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from eke.runtime.base import Handle

RUN, TASK = "EKE_RUN", "EKE_TASK"  # in the environment of every process of a run
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def born(pid: int) -> float | None:
    """Seconds from boot to the start of a process; None if there is none, or only its remains (a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # from the third on: the second, the name, may hold blanks
    return None if fields[0] in "ZX" else int(fields[19]) / _TICKS_PER_S


def alive(handle: Handle) -> bool:
    """Whether that very process lives."""
    return born(handle.pid) == handle.started


def myself() -> Handle:
    """This process."""
    return Handle(os.getpid(), born(os.getpid()) or 0.0, None)


def pids() -> Iterator[int]:
    """Every process there is."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def session(leader: int) -> list[int]:
    """The living processes of the session that `leader` began; it may be dead itself."""
    found = []
    for pid in pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader and born(pid) is not None:
                found.append(pid)
    return found


def marked(run: str) -> dict[int, str]:
    """Every process that carries the mark of `run`, but for this one, with the name of its task."""
    found = {}
    for pid in pids():
        with contextlib.suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            words = dict(line.split("=", 1) for line in environment.decode(errors="replace").split("\0") if "=" in line)
            if words.get(RUN) == run and pid != os.getpid() and born(pid) is not None:
                found[pid] = words.get(TASK, "")
    return found


def send(pid: int, number: signal.Signals, *, group: bool = False) -> None:
    """Send a signal to a process, or its group; it may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if group else os.kill)(pid, number)
