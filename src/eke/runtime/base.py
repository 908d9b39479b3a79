"""The words of the runtime: a task is a process that should be; a fabric is where processes live.

A task says what must run; it knows nothing of plans, chips or HTTP bodies. Engines, trainers and the gateway are all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Task:
    """A process that should be running.

    Attributes:
        name: unique within a run, and a file name: `assistant-0`, `next-generation`, `gateway`.
        kind: `engine` serves a model over HTTP, `trainer` ends by itself with exit 0, `service` is the rest.
        argv: command line; `{port}` stands for the port the fabric gives it.
        env: added to the environment.
        cpus: cores it is pinned to; empty: any.
        port: fixed port; 0: any free one, kept over restarts; None: it listens nowhere.
        health: path that answers 200 when ready (`/health`); None: ready as soon as it lives.
        restart: `always`, or `on-failure` (exit 0 is the end of it).
        grace_s: seconds between asking it to stop (SIGTERM) and SIGKILL. A trainer writes its checkpoint meanwhile.
        standby: started only under pressure, on the cores of lower-priority tasks that stop for it.
        priority: lower is more important.
        labels: what others want to know: `workload`, `model`, `engine`, `variant`, `pool`, `slots` (concurrent requests).
    """

    name: str
    kind: Literal["engine", "trainer", "service"]
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    port: int | None = None
    health: str | None = None
    restart: Literal["always", "on-failure"] = "always"
    grace_s: float = 15.0
    standby: bool = False
    priority: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Handle:
    """A started process, recognisable after the controller's own death: a pid alone may have been reused."""

    pid: int
    started: float
    port: int | None


class Fabric(Protocol):
    """Where processes live."""

    def start(self, task: Task, log: Path, port: int | None) -> Handle:
        """Start `task` in its own process group, on `port` (or a free one), output appended to `log`."""

    def alive(self, handle: Handle) -> bool:
        """Whether that very process still runs."""

    def exit_code(self, handle: Handle) -> int | None:
        """Exit status of a process this fabric started and saw end; None if alive or unknown."""

    def stop(self, handle: Handle, grace_s: float) -> None:
        """Ask the whole process group to end (SIGTERM); after `grace_s` kill it."""
