"""The local fabric: child processes of this machine, each in a session of its own, pinned to its cores.

They outlive the process that started them, and are known again by pid and birth. Knows nothing of why they run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from eke.errors import InputError
from eke.runtime import proc
from eke.runtime.base import Handle, Task

HOST = "127.0.0.1"
LOG_BYTES = 16 * 2**20  # a longer log is put aside as .log.1 when its task starts
LOG_HEAD = "--- eke starts "
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Local:
    """Child processes of this machine.

    Args:
        run: the run's folder; its processes carry its name.
    """

    def __init__(self, run: Path) -> None:
        self._run = str(run.resolve())
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, task: Task, log: Path, port: int | None, cpus: tuple[int, ...]) -> Handle:
        """Start `task` in its own process group, on `port` and pinned to `cpus`, output appended to `log`."""
        argv = [part.replace("{port}", str(port)) for part in task.argv]
        threads = dict.fromkeys(THREADS, str(len(cpus))) if cpus else {}
        mark = {proc.RUN: self._run, proc.TASK: task.name, "PYTHONUNBUFFERED": "1"}
        with _log(log, argv) as out, _pinned(cpus):
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **threads, **task.env, **mark},
                start_new_session=True,
            )
        self._children[child.pid] = child
        return Handle(child.pid, proc.born(child.pid) or 0.0, port)

    def port(self, wish: int) -> int | None:
        """`wish` if a task could listen there now, or None; for 0 any free one."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, wish))
            except OSError:
                return None
            return int(probe.getsockname()[1])

    def alive(self, handle: Handle) -> bool:
        """Whether that very process still runs."""
        if (child := self._children.get(handle.pid)) is not None:
            child.poll()  # so that its remains are buried
        return proc.alive(handle)

    def exit_code(self, handle: Handle) -> int | None:
        """Exit status of a process this fabric started and saw end; None if alive or unknown."""
        child = self._children.get(handle.pid)
        return None if child is None else child.poll()

    def terminate(self, handle: Handle) -> None:
        """Ask that very process and its group to end (SIGTERM)."""
        if proc.alive(handle):
            proc.send(handle.pid, signal.SIGTERM, group=True)

    def kill(self, handle: Handle) -> None:
        """End that very process and whatever of its session outlived it, at once."""
        if proc.born(handle.pid) not in (None, handle.started):
            return  # the pid, and with it the session, is another process's by now
        if proc.alive(handle):
            proc.send(handle.pid, signal.SIGKILL, group=True)
        for pid in proc.session(handle.pid):
            proc.send(pid, signal.SIGKILL)

    def strays(self) -> dict[Handle, str]:
        """Every process of this run that lives, recorded or not, with the name of the task it was started for."""
        found = {}
        for pid, task in proc.marked(self._run).items():
            if (started := proc.born(pid)) is not None:
                found[Handle(pid, started, None)] = task
        return found


def last_words(log: Path, characters: int = 300) -> str:
    """The last line a task wrote since it was started: most often why it ended."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    since = max((i + 1 for i, line in enumerate(lines) if line.startswith(LOG_HEAD)), default=0)
    said = [line.strip() for line in lines[since:] if line.strip()]
    return said[-1][:characters] if said else ""


@contextlib.contextmanager
def _log(path: Path, argv: list[str]) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    with path.open("ab") as file:
        file.write(f"{LOG_HEAD}{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {' '.join(argv)}\n".encode())
        file.flush()
        yield file.fileno()


@contextlib.contextmanager
def _pinned(cpus: tuple[int, ...]) -> Iterator[None]:
    """What is started inside runs on `cpus` from its first instruction: a child inherits its parent thread's cores."""
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        raise InputError(
            f"cores {list(cpus)} cannot be used",
            why=f"this machine lends {sorted(before)}: {error}",
            remedy="plan again: the machine has changed since",
        ) from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
