"""Real processes for the runtime's tests, and the promise that none outlives its test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from eke.runtime import proc
from eke.runtime.base import Task
from eke.runtime.fabrics.local import Local
from eke.runtime.state import Process, State

PATIENCE_S = 60.0  # a loaded machine is slow; no test measures time
QUICK = "tick_s=0.05, check_s=0.1, check_timeout_s=0.5, retry_s=0.2, retry_cap_s=1.0, pressed_for_s=0.2, calm_for_s=0.5"
CONTROLLER = f"""
import logging, sys
from pathlib import Path
from eke.runtime.controller import run
from eke.runtime.decide import Pace
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
sys.exit(run(Path(sys.argv[1]), Pace({QUICK})))
"""


T = TypeVar("T")


def until(claim: Callable[[], T]) -> T:
    """Wait until it is true, and give what it gave."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := claim()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


@dataclass
class Live:
    """A run's folder with real processes in it."""

    folder: Path
    controllers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = State(self.folder)
        self.fabric = Local(self.folder)

    def control(self, *tasks: Task) -> subprocess.Popen[bytes]:
        """Start a quick controller for `tasks`, or for those already there."""
        if tasks:
            self.state.set_tasks(tasks)
            self.state.set_wanted(True)
        with (self.folder / "controller.log").open("ab") as log:
            child = subprocess.Popen([sys.executable, "-c", CONTROLLER, str(self.folder)], stdout=log, stderr=log)
        self.controllers.append(child)
        return child

    def process(self, task: str) -> Process:
        """What the book says of a task."""
        return next((p for p in self.state.processes() if p.task == task), Process(task))

    def becomes(self, task: str, status: str, **other: object) -> Process:
        """Wait until a task's process has this status, and whatever else is asked."""

        def reached() -> Process | None:
            process = self.process(task)
            same = process.status == status and all(getattr(process, k) == v for k, v in other.items())
            return process if same else None

        return until(reached)

    def _emptied(self) -> bool:
        strays = self.fabric.strays()
        for handle in strays:
            proc.send(handle.pid, signal.SIGKILL)
        return not strays

    def close(self) -> None:
        """End everything."""
        for child in self.controllers:
            child.kill()
            child.wait()
        until(self._emptied)
        for child in self.fabric._children.values():
            child.wait()
        self.state.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """A run with real processes; nothing of it outlives the test."""
    run = Live(tmp_path / "run")
    yield run
    run.close()


def python(name: str, code: str, **words: object) -> Task:
    """A task that runs a line of Python."""
    return Task(**{"name": name, "kind": "service", "argv": (sys.executable, "-c", code), **words})  # type: ignore[arg-type]


def sleeper(name: str, **words: object) -> Task:
    """A task that does nothing for long and ends when asked."""
    return python(name, "import time; time.sleep(600)", **words)


def gone(pid: int | None) -> bool:
    """Whether no process of that pid lives."""
    assert pid is not None
    return proc.born(pid) is None


def kill(pid: int | None) -> None:
    """SIGKILL."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
