"""What to do next: a pure function from what should be and what was seen to what to start, ask to end, or kill.

Like a watchman with a list, who goes round twice a second: a lamp that is out is lit again, sooner the first time
than the tenth; a lamp not on the list is put out. He remembers only what stands in the book (`Process`), so another
can take over at any time.

    stopped ──start──> starting ──answers──> ready ──no answer──> unhealthy
       ^  ^                │                   │                     │
       │  └────ended───────┼──── stopping <────┤ not wanted          │ ended
       │                   └──ended──> backoff <─────────────────────┘
       └── done (exit 0 of a task that restarts on failure only)

Knows no process, clock or database.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from eke.runtime.base import Handle, Task
from eke.runtime.state import Process, digest

CONTINUES = 75  # exit status of a trainer that was asked to end and has written its checkpoint (EX_TEMPFAIL)
UNHEALTHY_GRACE_S = 5.0  # what does not answer is not waited for long
ENDING = ("stopping", "unhealthy")

Cores = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the controller looks, and how patient it is (seconds)."""

    tick_s: float = 0.5
    check_s: float = 1.0  # between two health checks of one process
    check_timeout_s: float = 5.0
    checks_failed: int = 3  # in a row, before a ready process counts as unhealthy
    start_s: float = 300.0  # until a started process must answer
    retry_s: float = 1.0  # before the first new try; twice as long before each further one …
    retry_cap_s: float = 60.0  # … up to this
    stable_s: float = 60.0  # after which earlier failures are forgotten
    pressed_s: float = 2.0  # a request that waits longer is pressure …
    pressed_for_s: float = 3.0  # … when it lasts this long
    calm_for_s: float = 60.0  # without anyone waiting, before what stopped comes back


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one recorded process: `healthy` is None until a check has said yes, or no often enough."""

    alive: bool
    exit_code: int | None = None
    healthy: bool | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: start a task on cores, or ask or force a process to end."""

    verb: Literal["start", "terminate", "kill"]
    task: str
    handle: Handle | None = None
    cpus: Cores = ()


def decide(
    wanted: Mapping[str, tuple[Task, Cores]],
    known: Iterable[str],
    processes: Mapping[str, Process],
    seen: Mapping[str, Seen],
    now: float,
    pace: Pace,
) -> tuple[dict[str, Process], list[Action]]:
    """One round.

    Args:
        wanted: tasks that should be up now and the cores they get (`schedule.up` says which).
        known: names of all tasks of the run; a process of no known task is forgotten once it has ended.
        processes: what the book says.
        seen: what was seen just now of each process that has a pid.
        now: the time.
        pace: how patient to be.

    Returns:
        The book afterwards, and what to do. A started process is written down by whoever starts it.
    """
    book: dict[str, Process] = {}
    actions: list[Action] = []
    for name, process in processes.items():
        if process.pid is not None:
            process, action = _living(wanted.get(name), process, seen[name], now, pace)
            actions += [action] if action else []
        book[name] = process
    leaving = {core for p in book.values() if p.pid is not None and p.status in ENDING for core in p.cpus}
    for name, (task, cpus) in wanted.items():
        process = book.setdefault(name, Process(name))
        if process.pid is None and _due(task, process, now, pace) and not leaving & set(cpus):
            actions.append(Action("start", name, cpus=cpus))
    known = set(known)
    return {n: _rested(p, n in wanted, now) for n, p in book.items() if n in known or p.pid is not None}, actions


def started(process: Process, task: Task, cpus: Cores, handle: Handle, now: float) -> Process:
    """The book's line after a start."""
    return replace(
        process,
        status="starting",
        since=now,
        pid=handle.pid,
        started=handle.started,
        port=handle.port,
        cpus=cpus,
        grace_s=task.grace_s,
        digest=digest(task),
        restarts=process.restarts + (process.failures > 0),
    )


def failed(process: Process, why: str, now: float, pace: Pace) -> Process:
    """The book's line after a failure: when to try again, and why it failed."""
    wait = min(pace.retry_cap_s, pace.retry_s * 2.0 ** min(process.failures, 30))
    return replace(_over(process, "backoff", now), failures=process.failures + 1, retry_at=now + wait, error=why)


def _living(
    wish: tuple[Task, Cores] | None, process: Process, seen: Seen, now: float, pace: Pace
) -> tuple[Process, Action | None]:
    if not seen.alive:
        return _ended(wish, process, seen, now, pace), Action("kill", process.task, process.handle)
    ask = Action("terminate", process.task, process.handle)
    if process.status in ENDING:
        grace = process.grace_s if process.status == "stopping" else min(process.grace_s, UNHEALTHY_GRACE_S)
        late = now - process.since > grace
        return process, Action("kill", process.task, process.handle) if late else None
    if wish is None or process.digest != digest(wish[0]) or process.cpus != wish[1]:
        return replace(process, status="stopping", since=now), ask
    answers = True if wish[0].health is None else seen.healthy
    if process.status == "starting":
        if answers:
            return replace(process, status="ready", since=now), None
        if now - process.since > pace.start_s:
            why = f"did not answer within {pace.start_s:g} s of its start: {seen.why}"
            return replace(process, status="unhealthy", since=now, error=why), ask
    elif answers is False:
        return replace(process, status="unhealthy", since=now, error=f"no longer answers: {seen.why}"), ask
    elif process.failures and now - process.since > pace.stable_s:
        return replace(process, failures=0, error=""), None
    return process, None


def _ended(wish: tuple[Task, Cores] | None, process: Process, seen: Seen, now: float, pace: Pace) -> Process:
    finite = wish is not None and wish[0].restart == "on-failure"
    if seen.exit_code == 0 and finite:
        return replace(_over(process, "done", now), failures=0, error="")
    if process.status == "unhealthy":
        return failed(process, process.error, now, pace)
    if process.status == "stopping" or wish is None:
        return _over(process, "stopped", now)
    if seen.exit_code == CONTINUES:
        return replace(_over(process, "stopped", now), retry_at=now + pace.retry_s)
    return failed(process, ": ".join(filter(None, (ending(seen.exit_code), seen.why))), now, pace)


def _due(task: Task, process: Process, now: float, pace: Pace) -> bool:
    if process.digest != digest(task):
        return True
    waits = now < process.retry_at <= now + pace.retry_cap_s  # later still: the clock was set back
    return process.status != "done" and not waits


def _over(process: Process, status: Literal["stopped", "done", "backoff"], now: float) -> Process:
    return replace(process, status=status, since=now, pid=None, started=None)


def _rested(process: Process, wanted: bool, now: float) -> Process:
    if wanted or process.pid is not None or process.status in ("stopped", "done"):
        return process
    return replace(process, status="stopped", since=now)


def ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "ended while nobody watched"
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        return f"killed by {names.get(-code, f'signal {-code}')}"
    return f"ended with exit status {code}"
