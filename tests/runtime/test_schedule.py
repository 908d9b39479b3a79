"""Who is up: stand-ins take the cores of the least important, and not for a moment's rush."""

from __future__ import annotations

from eke.runtime import schedule
from eke.runtime.base import Task
from eke.runtime.decide import Pace
from eke.runtime.schedule import Relief
from eke.runtime.state import Pressure, Process

PACE = Pace(pressed_s=2.0, pressed_for_s=3.0, calm_for_s=60.0)
ENGINE = Task("engine", "engine", ("x",), cpus=(0,))
TRAINER = Task("trainer", "trainer", ("x",), cpus=(1,), priority=2)
LATE = Task("late", "trainer", ("x",), cpus=(2, 3), priority=3)
STANDBY = Task("standby", "engine", ("x",), cpus=(1,), standby=True)


def cpus(*tasks: Task, called: bool) -> dict[str, tuple[int, ...]]:
    return {name: cores for name, (_, cores) in schedule.up(tasks, called=called).items()}


def test_without_pressure_all_but_stand_ins_are_up() -> None:
    """Tasks run as planned, stand-ins do not."""
    assert cpus(ENGINE, TRAINER, STANDBY, called=False) == {"engine": (0,), "trainer": (1,)}


def test_the_least_important_lends_its_cores() -> None:
    """A called stand-in gets as many cores as it names from the task of least importance, which is not up then."""
    assert cpus(ENGINE, TRAINER, LATE, STANDBY, called=True) == {"engine": (0,), "trainer": (1,), "standby": (2,)}


def test_more_cores_come_from_more_tasks() -> None:
    """Where one lender has too few cores the next one stops too."""
    wide = Task("wide", "engine", ("x",), cpus=(0, 1, 2), standby=True)
    assert cpus(ENGINE, TRAINER, LATE, wide, called=True) == {"engine": (0,), "wide": (2, 3, 1)}


def test_none_lends_to_the_less_important() -> None:
    """A stand-in never stops what is as important as itself, and does not start half."""
    low = Task("low", "engine", ("x",), cpus=(0,), standby=True, priority=2)
    assert cpus(ENGINE, TRAINER, low, called=True) == {"engine": (0,), "trainer": (1,)}


def test_free_cores_need_no_lender() -> None:
    """A stand-in whose cores nobody has starts on them and stops nobody."""
    free = Task("free", "engine", ("x",), cpus=(7,), standby=True)
    assert cpus(ENGINE, TRAINER, free, called=True) == {"engine": (0,), "trainer": (1,), "free": (7,)}


def test_relief_needs_lasting_pressure_and_lasting_calm() -> None:
    """A short rush calls nobody, a lasting one does; a short pause sends nobody home, a lasting one does."""
    relief, seen = Relief(), []
    waits = [(0, 1)] * 2 + [(3, 0)] * 2 + [(0, 1)] + [(3, 0)] * 5 + [(0, 1)] * 30 + [(1, 0)] + [(0, 1)] * 70
    for now, (waiting, _) in enumerate(waits):
        relief = relief.after(Pressure(waiting, 5.0 if waiting else 0.0, now), now, PACE)
        seen.append(relief.called)
    assert seen.index(True) == 8  # three seconds after the lasting rush began at 5
    assert seen.index(False, 8) == 101  # a minute after the last one waited at 40


def test_short_waits_and_old_news_are_no_pressure() -> None:
    """Requests that wait briefly, or a gateway that has not spoken for long, call nobody."""
    relief = Relief()
    for now in range(100):
        relief = relief.after(Pressure(5, 1.0, now), now, PACE)
        relief = relief.after(Pressure(5, 9.0, now - 60), now, PACE)
    assert not relief.called


def test_engines_end_last() -> None:
    """While a run closes, engines stay until what uses them has ended."""
    gateway = Task("gateway", "service", ("x",))
    book = {t.name: Process(t.name, "ready", pid=1, started=1.0, cpus=t.cpus) for t in (ENGINE, TRAINER, gateway)}
    tasks = [ENGINE, TRAINER, gateway]
    assert list(schedule.closing(tasks, book)) == ["engine"]
    assert schedule.closing(tasks, {"engine": book["engine"]}) == {}
