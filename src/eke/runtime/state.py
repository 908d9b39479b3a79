"""What should run and what does: the board that the controller, the gateway and the verbs read and write.

Knows nothing of how processes are started or requests are routed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import delete, insert, select

from eke.runtime import database
from eke.runtime.base import Handle, Task

Status = Literal["starting", "ready", "unhealthy", "stopping", "backoff", "stopped", "done"]


@dataclass(frozen=True, slots=True)
class Process:
    """What is known of one task's process.

    Attributes:
        task: whose process it is.
        status: `starting` lives but does not answer yet, `ready`, `unhealthy` no longer answers and is being ended,
            `stopping` was asked to end, `backoff` failed and waits for its next try, `stopped`,
            `done` ended by itself, for good.
        since: time of the last change of status.
        pid: of the leader of its process group; None: there is no process.
        started: when that process began, in the fabric's own count; with `pid` it names one process for ever.
        port: where it listens; kept over restarts.
        cpus: cores it was given.
        grace_s: how long it may take to end, as its task said when it was started.
        digest: of the task as it was when the process was started.
        restarts: starts after a failure.
        failures: failures in a row.
        retry_at: when a failed one is tried again.
        error: why it last failed.
    """

    task: str
    status: Status = "stopped"
    since: float = 0.0
    pid: int | None = None
    started: float | None = None
    port: int | None = None
    cpus: tuple[int, ...] = ()
    grace_s: float = 15.0
    digest: str = ""
    restarts: int = 0
    failures: int = 0
    retry_at: float = 0.0
    error: str = ""

    @property
    def handle(self) -> Handle | None:
        """The process itself, or None when there is none."""
        if self.pid is None or self.started is None:
            return None
        return Handle(self.pid, self.started, self.port)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine that answers: where, what it serves, and how many requests at once."""

    task: str
    url: str
    model: str
    workload: str
    engine: str
    slots: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """How many requests wait for a slot at the gateway, since when the oldest does, and when that was said."""

    waiting: int = 0
    oldest_s: float = 0.0
    at: float = 0.0


def digest(task: Task) -> str:
    """A short name of what a task runs: a process of the same digest need not be started anew."""
    words = (task.argv, dict(task.env), task.port)
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]


class State:
    """Tasks, processes and signals of one run.

    Args:
        where: the run's folder, or a database URL.
    """

    def __init__(self, where: Path | str) -> None:
        self._engine = database.connect(where)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Say what should be running from now on, most important first; what is not named will be stopped."""
        rows = [{"name": t.name, "position": i, "spec": asdict(t)} for i, t in enumerate(tasks)]
        with database.writing(self._engine) as connection:
            connection.execute(delete(database.tasks))
            if rows:
                connection.execute(insert(database.tasks), rows)

    def tasks(self) -> list[Task]:
        """What should be running."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(database.tasks.c.spec).order_by(database.tasks.c.position)).scalars()
            return [_task(spec) for spec in rows]

    def set_processes(self, processes: Iterable[Process], gone: Iterable[str] = ()) -> None:
        """Write what was observed; forget the processes of tasks that are `gone`."""
        with database.writing(self._engine) as connection:
            database.upsert(connection, database.processes, [asdict(p) for p in processes])
            connection.execute(delete(database.processes).where(database.processes.c.task.in_(list(gone))))

    def processes(self) -> list[Process]:
        """What was last observed, in the order of the tasks, then those of tasks no longer wanted."""
        p, t = database.processes, database.tasks
        order = select(p).join(t, t.c.name == p.c.task, isouter=True).order_by(t.c.position.nulls_last(), p.c.task)
        with self._engine.connect() as connection:
            rows = connection.execute(order).mappings()
            return [Process(**{**row, "cpus": tuple(row["cpus"])}) for row in rows]

    def endpoints(self) -> list[Endpoint]:
        """The engines that answer now."""
        known = {task.name: task for task in self.tasks()}
        ready = [p for p in self.processes() if p.status == "ready" and p.port is not None and p.task in known]
        return [_endpoint(known[p.task], p) for p in ready if known[p.task].kind == "engine"]

    def set_pressure(self, waiting: int, oldest_s: float) -> None:
        """Say how many requests wait, and how long the oldest has."""
        self._signal("pressure", {"waiting": waiting, "oldest_s": oldest_s})

    def pressure(self) -> Pressure:
        """What the gateway last said of its queue; nothing waits if it never spoke."""
        value, at = self._signalled("pressure", {})
        return Pressure(**value, at=at)

    def set_wanted(self, wanted: bool) -> None:
        """Say whether the run should be up at all."""
        self._signal("wanted", wanted)

    def wanted(self) -> bool:
        """Whether the run should be up."""
        return bool(self._signalled("wanted", False)[0])

    def _signal(self, name: str, value: Any) -> None:
        with database.writing(self._engine) as connection:
            database.upsert(connection, database.signals, [{"name": name, "value": value, "at": time.time()}])

    def _signalled(self, name: str, default: Any) -> tuple[Any, float]:
        s = database.signals
        with self._engine.connect() as connection:
            row = connection.execute(select(s.c.value, s.c.at).where(s.c.name == name)).first()
        return (row[0], row[1]) if row else (default, 0.0)


def _task(spec: dict[str, Any]) -> Task:
    return Task(**{**spec, "argv": tuple(spec["argv"]), "cpus": tuple(spec["cpus"])})


def _endpoint(task: Task, process: Process) -> Endpoint:
    label = task.labels.get
    return Endpoint(
        task=task.name,
        url=f"http://127.0.0.1:{process.port}",
        model=label("model", task.name),
        workload=label("workload", task.name),
        engine=label("engine", ""),
        slots=int(label("slots", "1")),
    )
