"""What a run is doing now, as one document: `eke.status/1`. For `eke status`, the console and scripts.

Reads the database and /proc; starts, asks and changes nothing. A run that was never up is a document without tasks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from eke.runtime import proc
from eke.runtime.base import Task
from eke.runtime.ledger import Ledger, Usage
from eke.runtime.run import controller
from eke.runtime.state import Process, State

FORMAT = "eke.status/1"
RECENT_S = 60.0
NOTHING = Usage({}, 0, 0, 0, 0, 0, 0, 0, 0.0)


def read(folder: Path) -> dict[str, Any]:
    """The status of the run in `folder`."""
    if not (folder / "eke.db").exists():
        return _document(folder, [], {}, [], {}, {})
    state, ledger = State(folder), Ledger(folder)
    try:
        tasks, processes = state.tasks(), {p.task: p for p in state.processes()}
        recent = _counts(ledger.usage(by=(), since=time.time() - RECENT_S))
        endpoints = [asdict(e) for e in state.endpoints()]
        document = _document(folder, tasks, processes, endpoints, _counts(ledger.usage(by=())), recent)
        return document | {"wanted": state.wanted(), "pressure": asdict(state.pressure())}
    finally:
        state.close()
        ledger.close()


def _document(
    folder: Path,
    tasks: Sequence[Task],
    processes: Mapping[str, Process],
    endpoints: Sequence[Mapping[str, Any]],
    requests: Mapping[str, Any],
    recent: Mapping[str, Any],
) -> dict[str, Any]:
    now = time.time()
    keeper = controller(folder)
    rows = [_row(task, processes.get(task.name, Process(task.name)), folder, now) for task in tasks]
    return {
        "format": FORMAT,
        "run": folder.name,
        "folder": str(folder),
        "at": now,
        "state": _state(rows, keeper is not None),
        "wanted": False,
        "controller": {"alive": keeper is not None, "pid": keeper.pid if keeper else None},
        "tasks": rows,
        "endpoints": list(endpoints),
        "pressure": {"waiting": 0, "oldest_s": 0.0, "at": 0.0},
        "requests": dict(requests or asdict(NOTHING)) | {"last_minute": dict(recent or asdict(NOTHING))},
    }


def _row(task: Task, process: Process, folder: Path, now: float) -> dict[str, Any]:
    label = task.labels.get
    lives = process.handle is not None and proc.alive(process.handle)
    cpu_s, rss_bytes = _consumed(process.pid) if lives and process.pid else (None, None)
    return {
        "name": task.name,
        "kind": task.kind,
        "status": process.status if lives or process.pid is None else "lost",
        "workload": label("workload"),
        "model": label("model"),
        "engine": label("engine"),
        "slots": int(label("slots", "0")) or None,
        "pid": process.pid if lives else None,
        "port": process.port if lives else None,
        "cpus": list(process.cpus if lives else task.cpus),
        "restarts": process.restarts,
        "since": process.since or None,
        "seconds": now - process.since if process.since else None,
        "cpu_s": cpu_s,
        "rss_bytes": rss_bytes,
        "error": process.error or None,
        "retry_in_s": max(0.0, process.retry_at - now) if process.status == "backoff" else None,
        "standby": task.standby,
        "priority": task.priority,
        "log": str(folder / "logs" / f"{task.name}.log"),
    }


def _consumed(pid: int) -> tuple[float | None, int | None]:
    """CPU seconds and resident bytes of a process and all its children."""
    try:
        leader = psutil.Process(pid)
        family = [leader, *leader.children(recursive=True)]
        times = [member.cpu_times() for member in family]
        return sum(t.user + t.system for t in times), sum(member.memory_info().rss for member in family)
    except psutil.Error:
        return None, None


def _state(rows: Sequence[Mapping[str, Any]], controlled: bool) -> str:
    """One word for the whole: `ready`, `starting`, `degraded` or `stopped`."""
    statuses = {row["status"] for row in rows if not row["standby"]}
    if all(row["pid"] is None for row in rows) and not controlled:
        return "stopped"
    if statuses & {"backoff", "unhealthy", "lost"} or not controlled:
        return "degraded"
    return "starting" if statuses & {"starting"} or not any(row["pid"] for row in rows) else "ready"


def _counts(rows: Sequence[Usage]) -> dict[str, Any]:
    counts = asdict(rows[0] if rows else NOTHING)
    del counts["key"]
    return counts
