"""A run from the outside: bring it up and stay beside it, take it down and leave nothing, find it by name.

`up` is the nurse of the controller, as the controller is of the tasks: it starts it again when it dies, and when it is
itself interrupted it ends everything. Knows nothing of what the tasks are.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eke import home
from eke.errors import EkeError, InputError, UnknownName
from eke.runtime import lock, proc
from eke.runtime.base import Handle, Task
from eke.runtime.controller import LOCK
from eke.runtime.fabrics.local import Local
from eke.runtime.state import Process, State

log = logging.getLogger(__name__)

UP_LOCK = "up.lock"
TICK_S = 0.2
RETRY_CAP_S = 30.0  # between two starts of a controller that keeps dying
STABLE_S = 30.0
MARGIN_S = 5.0  # beyond the graces of its tasks, until a controller that closes counts as hung

Watch = Callable[[list[Process]], None]


def up(folder: Path, tasks: Sequence[Task], watch: Watch = lambda _: None) -> bool:
    """Run `tasks` until they are taken down or this process is interrupted (Ctrl-C, SIGTERM, SIGHUP); then end all.

    Where the run is up already, its tasks become these, and this call only watches: interrupted, it leaves them up.

    Args:
        folder: the run's folder; made if it is not there.
        tasks: what should run.
        watch: called with what is running whenever that changes.

    Returns:
        Whether it was this call that kept the run up; False: it watched another one's.
    """
    with _interruptible(), lock.held(folder / UP_LOCK) as mine:
        if not mine:
            state = State(folder)
            state.set_tasks(tasks)
            with contextlib.suppress(KeyboardInterrupt):
                _watch(state, watch, lambda: state.wanted() or lock.holder(folder / UP_LOCK) is not None)
            return False
        try:
            keeper = _Keeper(folder, State(folder), start(folder, tasks), since=time.monotonic())
            _watch(keeper.state, watch, keeper.lasts)
        except KeyboardInterrupt:
            log.info("interrupted: ending everything")
        finally:
            _take_down(folder)
    return True


def start(folder: Path, tasks: Sequence[Task]) -> Handle:
    """Say what should run, and see that a controller makes it so; returns at once, with the controller."""
    state = State(folder)
    if not (state.wanted() and _lives(folder, state)):
        down(folder)  # what is left of the last time, if anything
        state.set_processes(_fresh(p) for p in state.processes())
    state.set_tasks(tasks)
    state.set_wanted(True)
    state.close()
    return controller(folder) or _launch(folder)


def controller(folder: Path) -> Handle | None:
    """The run's living controller."""
    return lock.holder(folder / LOCK)


def down(folder: Path, *, hurry: bool = False) -> list[str]:
    """End everything of a run, also when its controller is dead; says which tasks had been running.

    Args:
        folder: the run's folder.
        hurry: kill at once, without waiting for checkpoints and open requests.

    Raises:
        EkeError: something is left that would not end.
    """
    if not (folder / "eke.db").exists():
        return []
    state, fabric = State(folder), Local(folder)
    state.set_wanted(False)
    processes = [p for p in state.processes() if p.handle is not None and fabric.alive(p.handle)]
    if (keeper := controller(folder)) is not None:
        _end_controller(keeper, processes, hurry=hurry)
    _end_rest(fabric, processes, hurry=hurry)
    state.set_processes(_stopped(p) for p in state.processes())
    state.close()
    return [p.task for p in processes]


def find(which: str | None = None) -> Path:
    """The folder of a run: by name, by path, or the one that is up, else the latest.

    Raises:
        UnknownName: no run is called so.
        InputError: there is none at all.
    """
    folders = sorted(home.run("").glob("*/eke.db"), key=lambda db: db.stat().st_mtime, reverse=True)
    runs = {db.parent.name: db.parent for db in folders}
    if which is not None:
        path = runs.get(which, Path(which))
        if not (path / "eke.db").exists():
            raise UnknownName("run", which, runs)
        return path
    if not runs:
        raise InputError("there is no run here", why=f"{home.run('')} holds none", remedy="eke up PLAN")
    return next((folder for folder in runs.values() if controller(folder) is not None), next(iter(runs.values())))


def _lives(folder: Path, state: State) -> bool:
    handles = [p.handle for p in state.processes() if p.handle is not None]
    return controller(folder) is not None or any(proc.alive(handle) for handle in handles)


@dataclass
class _Keeper:
    """Starts the controller again when it dies, sooner the first time."""

    folder: Path
    state: State
    handle: Handle | None = None
    failures: int = 0
    since: float = 0.0
    wait_s: float = 0.0

    def lasts(self) -> bool:
        """Whether the run goes on; called again and again."""
        if self.handle is not None and proc.alive(self.handle):
            return True
        _bury(self.handle)
        if not self.state.wanted():
            return False
        now = time.monotonic()
        if self.handle is not None:
            self.failures = 1 if now - self.since > STABLE_S else self.failures + 1
            self.wait_s = 0.0 if self.failures == 1 else min(RETRY_CAP_S, 2.0 ** (self.failures - 2))
            log.warning("the controller died; it is started again in %g s", self.wait_s)
            self.handle, self.since = None, now
        if now - self.since >= self.wait_s:
            self.handle, self.since = controller(self.folder) or _launch(self.folder), now
        return True


def _watch(state: State, watch: Watch, lasts: Callable[[], bool]) -> None:
    before = None
    while lasts():
        if (now := state.processes()) != before:
            watch(now)
            before = now
        time.sleep(TICK_S)
    watch(state.processes())


def _launch(folder: Path) -> Handle:
    """A new controller, in a session of its own: what hits this terminal does not hit it."""
    path = folder / "logs" / "controller.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(path), append, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    argv = [sys.executable, "-m", "eke.runtime.controller", str(folder)]
    pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=files, setsid=True)
    return Handle(pid, proc.born(pid) or 0.0, None)


def _bury(handle: Handle | None) -> None:
    if handle is not None:
        with contextlib.suppress(ChildProcessError):  # it is not ours: an earlier `up` started it
            os.waitpid(handle.pid, os.WNOHANG)


def _take_down(folder: Path) -> None:
    try:
        down(folder)
    except KeyboardInterrupt:
        down(folder, hurry=True)


def _end_controller(keeper: Handle, processes: Sequence[Process], *, hurry: bool) -> None:
    graces = [p.grace_s for p in processes]
    proc.send(keeper.pid, signal.SIGKILL if hurry else signal.SIGTERM)
    if not _wait([keeper], 2 * max(graces, default=0.0) + MARGIN_S):  # twice: first those that use engines, then these
        proc.send(keeper.pid, signal.SIGKILL)
        _wait([keeper], MARGIN_S)


def _end_rest(fabric: Local, processes: Sequence[Process], *, hurry: bool) -> None:
    """What no controller ended: asked, waited for, killed."""
    left = {p.handle: p.grace_s for p in processes if p.handle is not None and fabric.alive(p.handle)}
    if not hurry:
        for handle in left:
            fabric.terminate(handle)
        _wait(left, max(left.values(), default=0.0))
    for handle in left:
        fabric.kill(handle)
    deadline = time.monotonic() + MARGIN_S
    while (remains := fabric.strays()) and time.monotonic() < deadline:
        for handle in remains:  # again and again: one may have been born while the others were counted
            fabric.kill(handle)
        time.sleep(0.05)
    if remains:
        named = ", ".join(f"{task} (pid {handle.pid})" for handle, task in remains.items())
        raise EkeError(f"still running: {named}", why="killed, and yet alive", remedy="look at them with ps")


def _wait(handles: Sequence[Handle] | dict[Handle, float], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(proc.alive(handle) for handle in handles):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _fresh(process: Process) -> Process:
    return replace(_stopped(process), restarts=0, failures=0, retry_at=0.0, error="")


def _stopped(process: Process) -> Process:
    if process.pid is None and process.status in ("stopped", "done"):
        return process
    return replace(process, status="stopped", since=time.time(), pid=None, started=None)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal interrupt like Ctrl-C; what runs under `nohup` outlives its terminal."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
