"""The controller: makes what is so into what should be, twice a second, until the run is no longer wanted.

`python -m eke.runtime.controller RUN_DIR` is the only one of its run. All it knows stands in the database: killed
at any moment and started again, it finds its processes by pid and birth and goes on; a process that it had started
but not yet written down is found by its mark and ended. Knows nothing of what the processes do.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from eke.errors import EkeError
from eke.runtime import lock, schedule
from eke.runtime.base import Fabric, Handle, Task
from eke.runtime.decide import Action, Pace, Seen, decide, failed, started
from eke.runtime.fabrics.local import Local, last_words
from eke.runtime.health import Health
from eke.runtime.schedule import Relief
from eke.runtime.state import Process, State, digest

log = logging.getLogger(__name__)

LOCK = "controller.lock"
BUSY = 69  # exit status when another controller has the run (EX_UNAVAILABLE)


@dataclass
class Controller:
    """One run's controller: `adopt` once, then `round` again and again until it says that all is over."""

    run: Path
    state: State
    fabric: Fabric
    pace: Pace = field(default_factory=Pace)
    closing: bool = False
    relief: Relief = field(default_factory=Relief)
    book: dict[str, Process] = field(default_factory=dict)
    written: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.health = Health(self.pace)

    def adopt(self) -> None:
        """Take over what runs: what the book knows is kept, what it does not know is ended."""
        self.book = {p.task: p for p in self.state.processes()}
        self.written = dict(self.book)
        alive = {p.task: p.pid for p in self.book.values() if p.handle is not None and self.fabric.alive(p.handle)}
        for task, pid in alive.items():
            log.info("%s: adopted, pid %s", task, pid)
        self._sweep(set(self.fabric.strays().values()) - alive.keys())
        standby = {t.name for t in self.state.tasks() if t.standby}
        self.relief = Relief(any(p.pid is not None for p in self.book.values() if p.task in standby))

    def round(self, now: float) -> bool:
        """Look, decide, act, write down. Says whether the run is over."""
        tasks = self.state.tasks()
        if not self.closing and not self.state.wanted():
            log.info("no longer wanted")
            self.closing = True
        self.relief = self.relief.after(self.state.pressure(), now, self.pace)
        wanted = schedule.closing(tasks, self.book) if self.closing else schedule.up(tasks, called=self.relief.called)
        seen = {name: self._see(process, tasks, now) for name, process in self.book.items() if process.pid is not None}
        book, actions = decide(wanted, [t.name for t in tasks], self.book, seen, now, self.pace)
        self.health.forget({p.handle for p in book.values() if p.handle is not None})
        self._write(book)  # first what was decided, so that no process is asked to end that the book calls ready
        self._write({**book, **self._act(actions, {t.name: t for t in tasks}, now)})
        return self.closing and all(p.pid is None for p in self.book.values())

    def hurry(self) -> None:
        """End everything at once."""
        for process in self.book.values():
            if process.handle is not None:
                self.fabric.kill(process.handle)

    def _see(self, process: Process, tasks: Iterable[Task], now: float) -> Seen:
        assert process.handle is not None
        if not self.fabric.alive(process.handle):
            why = last_words(self._log(process.task))
            return Seen(alive=False, exit_code=self.fabric.exit_code(process.handle), why=why)
        path = next((t.health for t in tasks if t.name == process.task), None)
        if path is None or process.port is None:
            return Seen(alive=True)
        healthy, why = self.health.see(process.handle, path, now)
        return Seen(alive=True, healthy=healthy, why=why)

    def _act(self, actions: Iterable[Action], tasks: dict[str, Task], now: float) -> dict[str, Process]:
        changed = {}
        for action in actions:
            if action.verb == "start":
                changed[action.task] = self._start(tasks[action.task], self.book[action.task], action.cpus, now)
            elif action.handle is not None and action.verb == "terminate":
                self.fabric.terminate(action.handle)
            elif action.handle is not None:
                self._end(action.task, action.handle)
        return changed

    def _end(self, task: str, handle: Handle) -> None:
        over = not self.fabric.alive(handle)
        self.fabric.kill(handle)
        if over:
            self._sweep({task})

    def _start(self, task: Task, process: Process, cpus: tuple[int, ...], now: float) -> Process:
        port = None
        if task.port is not None:
            port = self.fabric.port(task.port or process.port or 0)
            if port is None and task.port == 0:
                port = self.fabric.port(0)
        try:
            if port is None and task.port is not None:
                raise EkeError(f"port {task.port} is taken by another program")
            handle = self.fabric.start(task, self._log(task.name), port, cpus)
        except (EkeError, OSError) as error:
            return failed(replace(process, digest=digest(task)), f"cannot start: {error}", now, self.pace)
        return started(process, task, cpus, handle, now)

    def _write(self, book: dict[str, Process]) -> None:
        self.book = book  # even when it cannot be written now
        changed = [p for name, p in book.items() if p != self.written.get(name)]
        gone = self.written.keys() - book.keys()
        if changed or gone:
            self.state.set_processes(changed, gone)
        for p in changed:
            if p.status != self.written.get(p.task, Process(p.task)).status:
                log.info("%s: %s%s", p.task, p.status, f" ({p.error})" if p.error and p.status != "ready" else "")
        self.written = dict(book)

    def _log(self, task: str) -> Path:
        return self.run / "logs" / f"{task}.log"

    def _sweep(self, tasks: set[str]) -> None:
        for handle, task in self.fabric.strays().items() if tasks else ():
            if task in tasks:
                log.warning("%s: pid %s was left over; ended", task, handle.pid)
                self.fabric.kill(handle)


def run(folder: Path, pace: Pace | None = None) -> int:
    """Control the run in `folder` until it is over; SIGTERM ends it in good order, a second one at once."""
    with lock.held(folder / LOCK) as mine:
        if not mine:
            log.warning("another controller has %s", folder)
            return BUSY
        controller = Controller(folder, State(folder), Local(folder), pace or Pace())
        _on_signals(controller)
        controller.adopt()
        while not _round(controller):
            time.sleep(controller.pace.tick_s)
        controller.health.close()
        log.info("all over")
    return 0


def _round(controller: Controller) -> bool:
    try:
        return controller.round(time.time())
    except (SQLAlchemyError, OSError):
        log.exception("this round failed; the next one may not")
        return False


def _on_signals(controller: Controller) -> None:
    def close(_number: int, _frame: object) -> None:
        if controller.closing:
            controller.hurry()
        controller.closing = True

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, close)
        signal.signal(signal.SIGINT, close)


def main() -> None:
    """`python -m eke.runtime.controller RUN_DIR`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if len(sys.argv) != 2:
        sys.exit("usage: python -m eke.runtime.controller RUN_DIR")
    sys.exit(run(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
