"""The words of the runtime: a task is a process that should be; a fabric is where processes live.

A task says what must run; it knows nothing of plans, chips or HTTP bodies.
Engines, trainers and the gateway are all tasks.
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
        labels: what others want to know: `workload`, `model`, `engine`, `variant`, `pool`,
            `slots` (concurrent requests).
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
    """Where processes live. No call waits for a process: the controller's loop never blocks."""

    def start(self, task: Task, log: Path, port: int | None, cpus: tuple[int, ...]) -> Handle:
        """Start `task` in its own process group, on `port` and pinned to `cpus`, output appended to `log`."""

    def port(self, wish: int) -> int | None:
        """`wish` if a task could listen there now, or None; for 0 any free one."""

    def alive(self, handle: Handle) -> bool:
        """Whether that very process still runs."""

    def exit_code(self, handle: Handle) -> int | None:
        """Exit status of a process this fabric started and saw end; None if alive or unknown."""

    def terminate(self, handle: Handle) -> None:
        """Ask that very process and its group to end (SIGTERM)."""

    def kill(self, handle: Handle) -> None:
        """End that very process and whatever of its group outlived it, at once."""

    def strays(self) -> dict[Handle, str]:
        """Every process of this run that lives, recorded or not, with the name of the task it was started for."""
