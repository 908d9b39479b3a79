"""Who is up, and on which cores: all tasks as planned; under pressure, stand-ins on the cores of the least important.

A stand-in (`Task.standby`) is started when requests wait too long and the plan foresaw one: as many cores as it names
are taken from tasks of lower priority, whole tasks at a time, the least important first. They are asked to stop, which
a trainer does with a checkpoint, and come back when it has been calm for a while. Knows no process and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eke.runtime.base import Task
from eke.runtime.decide import Cores, Pace
from eke.runtime.state import Pressure, Process

STALE_S = 10.0  # a gateway that has not spoken for so long has nobody waiting


@dataclass(frozen=True, slots=True)
class Relief:
    """Whether stand-ins are called, and since when the opposite has been due (it must last before it happens)."""

    called: bool = False
    since: float | None = None

    def after(self, pressure: Pressure, now: float, pace: Pace) -> Relief:
        """The same a moment later, with what the gateway says now."""
        waiting = pressure.waiting > 0 and now - pressure.at <= STALE_S
        turns = not waiting if self.called else waiting and pressure.oldest_s >= pace.pressed_s
        if not turns:
            return Relief(self.called)
        since = now if self.since is None else self.since
        if now - since >= (pace.calm_for_s if self.called else pace.pressed_for_s):
            return Relief(not self.called)
        return Relief(self.called, since)


def up(tasks: Sequence[Task], *, called: bool) -> dict[str, tuple[Task, Cores]]:
    """The tasks that should be up now and their cores; stand-ins only when `called`."""
    wanted = {task.name: (task, task.cpus) for task in tasks if not task.standby}
    for standby in sorted((t for t in tasks if t.standby and called), key=lambda t: t.priority):
        lenders, given = _lenders(standby, wanted)
        for name in lenders:
            del wanted[name]
        if given is not None:
            wanted[standby.name] = (standby, given)
    return wanted


def closing(tasks: Sequence[Task], processes: Mapping[str, Process]) -> dict[str, tuple[Task, Cores]]:
    """What stays up while a run ends: engines, until those that use them or share their machine have ended."""
    living = {name for name, process in processes.items() if process.pid is not None}
    if not any(task.kind != "engine" and task.name in living for task in tasks):
        return {}
    return {t.name: (t, processes[t.name].cpus) for t in tasks if t.kind == "engine" and t.name in living}


def _lenders(standby: Task, wanted: Mapping[str, tuple[Task, Cores]]) -> tuple[list[str], Cores | None]:
    """Who must stop for a stand-in and which cores it gets; None when even all of them have too few."""
    taken = {core for _, cpus in wanted.values() for core in cpus}
    if standby.cpus and not taken & set(standby.cpus):
        return [], standby.cpus
    names: list[str] = []
    cores: list[int] = []
    need = max(1, len(standby.cpus))
    for task, cpus in sorted(wanted.values(), key=lambda pair: -pair[0].priority):
        if task.priority <= standby.priority or len(cores) >= need:
            break
        if cpus and not task.standby:
            names.append(task.name)
            cores += cpus
    return (names, tuple(cores[:need])) if len(cores) >= need else ([], None)
