"""The controller's decisions: whatever happens, in whatever order, what should run runs once, and nothing else does."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eke.runtime.base import Task
from eke.runtime.controller import Controller
from eke.runtime.decide import CONTINUES, Action, Pace, Seen, decide, ending, failed
from eke.runtime.fabrics.mock import Mock
from eke.runtime.health import Health
from eke.runtime.state import Pressure, Process, digest

PACE = Pace()
ENGINE = Task("engine", "engine", ("serve",), cpus=(0,), port=0, health="/health")
TRAINER = Task("trainer", "trainer", ("train",), cpus=(1,), restart="on-failure", priority=2)


def once(task: Task | None, process: Process, seen: Seen | None, now: float = 100.0) -> tuple[Process, list[Action]]:
    """One round with one process."""
    wanted = {task.name: (task, task.cpus)} if task else {}
    book = {process.task: process}
    after, actions = decide(wanted, [process.task], book, {process.task: seen} if seen else {}, now, PACE)
    return after[process.task], actions


def living(task: Task, status: str = "ready", **words: object) -> Process:
    process = Process(task.name, since=90.0, pid=7, started=1.0, port=80, cpus=task.cpus, digest=digest(task))
    return replace(process, status=status, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "process", "seen", "status", "verbs"),
    [
        (ENGINE, living(ENGINE, "starting"), Seen(alive=True), "starting", []),
        (ENGINE, living(ENGINE, "starting"), Seen(alive=True, healthy=False), "starting", []),
        (ENGINE, living(ENGINE, "starting"), Seen(alive=True, healthy=True), "ready", []),
        (ENGINE, living(ENGINE, "starting", since=-999.0), Seen(alive=True), "unhealthy", ["terminate"]),
        (ENGINE, living(ENGINE), Seen(alive=True, healthy=True), "ready", []),
        (ENGINE, living(ENGINE), Seen(alive=True), "ready", []),
        (ENGINE, living(ENGINE), Seen(alive=True, healthy=False), "unhealthy", ["terminate"]),
        (ENGINE, living(ENGINE, "unhealthy"), Seen(alive=True), "unhealthy", ["kill"]),
        (ENGINE, living(ENGINE), Seen(alive=False, exit_code=-9), "backoff", ["kill"]),
        (ENGINE, living(ENGINE), Seen(alive=False, exit_code=0), "backoff", ["kill"]),
        (ENGINE, living(ENGINE, digest="older"), Seen(alive=True), "stopping", ["terminate"]),
        (ENGINE, living(ENGINE, cpus=(3,)), Seen(alive=True), "stopping", ["terminate"]),
        (None, living(ENGINE), Seen(alive=True), "stopping", ["terminate"]),
        (None, living(ENGINE, "stopping"), Seen(alive=True), "stopping", []),
        (None, living(ENGINE, "stopping", since=1.0), Seen(alive=True), "stopping", ["kill"]),
        (None, living(ENGINE, "stopping"), Seen(alive=False, exit_code=-15), "stopped", ["kill"]),
        (None, Process("engine", "backoff", retry_at=999.0), None, "stopped", []),
        (TRAINER, living(TRAINER, "starting"), Seen(alive=True), "ready", []),
        (TRAINER, living(TRAINER), Seen(alive=False, exit_code=0), "done", ["kill"]),
        (TRAINER, living(TRAINER, "stopping"), Seen(alive=False, exit_code=0), "done", ["kill"]),
        (TRAINER, living(TRAINER), Seen(alive=False, exit_code=CONTINUES), "stopped", ["kill"]),
        (TRAINER, living(TRAINER), Seen(alive=False), "backoff", ["kill"]),
        (TRAINER, Process("trainer", "done", digest=digest(TRAINER)), None, "done", []),
        (TRAINER, Process("trainer", "done", digest="older"), None, "done", ["start"]),
        (TRAINER, Process("trainer", "backoff", digest=digest(TRAINER), retry_at=101.0), None, "backoff", []),
        (TRAINER, Process("trainer", "backoff", digest=digest(TRAINER), retry_at=99.0), None, "backoff", ["start"]),
        (TRAINER, Process("trainer", "backoff", digest=digest(TRAINER), retry_at=9e9), None, "backoff", ["start"]),
    ],
)
def test_one_round(task: Task | None, process: Process, seen: Seen | None, status: str, verbs: list[str]) -> None:
    """From what should be and what was seen follow one status and one thing to do."""
    after, actions = once(task, process, seen)
    assert (after.status, [action.verb for action in actions]) == (status, verbs)


def test_back_off_doubles_to_its_cap_and_is_forgotten() -> None:
    """Each failure in a row doubles the wait up to the cap; a stable while begins anew and clears the error."""
    process, waits = Process("engine"), []
    for _ in range(9):
        process = failed(process, "no luck", 0.0, PACE)
        waits.append(process.retry_at)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    calm, _ = once(ENGINE, living(ENGINE, failures=9, error="no luck", since=0.0), Seen(alive=True, healthy=True))
    assert (calm.failures, calm.error) == (0, "")


def test_why_it_failed_is_kept() -> None:
    """The way it ended and its last words become the error."""
    after, _ = once(ENGINE, living(ENGINE), Seen(alive=False, exit_code=1, why="no model"))
    assert after.error == "ended with exit status 1: no model"
    assert ending(-9) == "killed by SIGKILL"


def test_cores_are_not_given_twice() -> None:
    """A task waits for its cores until the one that is leaving them has ended."""
    other = Task("other", "engine", ("x",), cpus=(1, 2))
    book = {"trainer": living(TRAINER)}
    wanted = {"other": (other, other.cpus)}
    for seen, verbs in ((Seen(alive=True), ["terminate"]), (Seen(alive=False, exit_code=75), ["kill", "start"])):
        book, actions = decide(wanted, ["other", "trainer"], book, {"trainer": seen}, 100.0, PACE)
        assert [action.verb for action in actions] == verbs


def test_a_removed_task_is_forgotten_once_it_has_ended() -> None:
    """The book keeps a removed task's process until it is gone, then drops it."""
    book, _ = decide({}, [], {"engine": living(ENGINE)}, {"engine": Seen(alive=True)}, 100.0, PACE)
    assert book["engine"].status == "stopping"
    book, _ = decide({}, [], book, {"engine": Seen(alive=False)}, 101.0, PACE)
    assert book == {}


class Board:
    """The database, in memory; it can refuse to be written."""

    def __init__(self) -> None:
        self.desired: list[Task] = []
        self.rows: dict[str, Process] = {}
        self.up = True
        self.said = Pressure()
        self.full = False
        self.fuse: int | None = None  # writes until the controller dies in the next one

    def tasks(self) -> list[Task]:
        return self.desired

    def processes(self) -> list[Process]:
        return list(self.rows.values())

    def set_processes(self, processes: list[Process], gone: set[str]) -> None:
        if self.full or self.fuse == 0:
            raise OSError("disk full")
        self.fuse = None if self.fuse is None else self.fuse - 1
        self.rows |= {p.task: p for p in processes}
        self.rows = {name: p for name, p in self.rows.items() if name not in gone}

    def wanted(self) -> bool:
        return self.up

    def pressure(self) -> Pressure:
        return self.said


class Oracle(Health):
    """Health checks that a test answers."""

    def __init__(self) -> None:
        self.sick: set[int] = set()

    def see(self, handle, path, now):  # type: ignore[no-untyped-def]
        return handle.pid not in self.sick, ""

    def forget(self, alive) -> None:  # type: ignore[no-untyped-def]
        pass


# Cores are planned apart, so that whoever shares one got it while another still had it.
STOCK = {
    t.name: t
    for t in (
        ENGINE,
        TRAINER,
        Task("second", "engine", ("serve",), cpus=(2,), port=8000, health="/health"),
        Task("gateway", "service", ("gateway",), port=8400, health="/healthz"),
        Task("standby", "engine", ("serve",), cpus=(1,), port=0, health="/health", standby=True),
        Task("late", "trainer", ("train",), cpus=(3,), restart="on-failure", priority=3),
    )
}


class Reconciling(RuleBasedStateMachine):
    """Processes die, hang and refuse, the controller dies too, the plan changes, the disk fills, requests queue up."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.fabric, self.board, self.oracle = 1000.0, Mock(), Board(), Oracle()
        self.board.desired = list(STOCK.values())
        self.replace_controller()

    def replace_controller(self) -> None:
        folder = Path(tempfile.gettempdir()) / "no-such-run"
        self.controller = Controller(folder, self.board, self.fabric, PACE)  # type: ignore[arg-type]
        self.controller.health = self.oracle
        self.controller.adopt()

    @rule(seconds=st.sampled_from([0.5, 0.5, 0.5, 3.0, 70.0]))
    def round(self, seconds: float) -> None:
        self.now += seconds
        if self.board.said.waiting:
            self.board.said = Pressure(3, 9.0, self.now)
        try:
            self.controller.round(self.now)
        except OSError:
            assert self.board.full or self.board.fuse is not None

    @precondition(lambda self: self.fabric.strays())
    @rule(data=st.data(), code=st.sampled_from([0, 1, -9, CONTINUES]))
    def die(self, data: st.DataObject, code: int) -> None:
        self.fabric.end(data.draw(st.sampled_from(sorted(self.fabric.strays(), key=lambda h: h.pid))), code)

    @precondition(lambda self: self.fabric.strays())
    @rule(data=st.data())
    def hang(self, data: st.DataObject) -> None:
        self.oracle.sick.add(data.draw(st.sampled_from(sorted(self.fabric.strays(), key=lambda h: h.pid))).pid)

    @rule(names=st.sets(st.sampled_from(sorted(STOCK))), stubborn=st.sets(st.sampled_from(sorted(STOCK)), max_size=2))
    def change_plan(self, names: set[str], stubborn: set[str]) -> None:
        self.board.desired = [t for t in STOCK.values() if t.name in names]
        self.fabric.stubborn = stubborn

    @rule(name=st.sampled_from(sorted(STOCK)), version=st.integers(0, 2))
    def change_task(self, name: str, version: int) -> None:
        self.board.desired = [replace(t, argv=("v", str(version))) if t.name == name else t for t in self.board.desired]

    @rule(names=st.sets(st.sampled_from(sorted(STOCK)), max_size=2))
    def break_starts(self, names: set[str]) -> None:
        self.fabric.broken = names

    @rule(waiting=st.integers(0, 1))
    def press(self, waiting: int) -> None:
        self.board.said = Pressure(waiting, 9.0 * waiting, self.now)

    @rule(full=st.booleans())
    def fill_disk(self, full: bool) -> None:
        self.board.full = full

    @rule(writes=st.integers(0, 2))
    def kill_controller(self, writes: int) -> None:
        """It dies between two rounds, or in the middle of one: before or after it acted."""
        self.board.fuse = writes
        with contextlib.suppress(OSError):
            self.controller.round(self.now)
        self.board.fuse = None
        self.replace_controller()

    @rule(deaf=st.booleans())
    def rush(self, deaf: bool) -> None:
        """Requests queue up long enough for stand-ins to be called, and the trainers may be slow to stop."""
        self.fabric.stubborn = {"trainer", "late"} if deaf else set()
        self.board.said = Pressure(3, 9.0, self.now)
        for _ in range(10):
            self.round(0.5)
            self.no_core_is_shared()

    @rule(really=st.sampled_from([False, False, False, True]))  # rarely: little happens after it
    def close(self, really: bool) -> None:
        self.board.up = self.board.up and not really

    @rule()
    def open_again(self) -> None:
        if not self.board.up and not self.fabric.strays():
            self.board.up = True
            self.replace_controller()

    @invariant()
    def one_process_a_task(self) -> None:
        names = list(self.fabric.strays().values())
        assert len(names) == len(set(names))

    @invariant()
    def no_core_is_shared(self) -> None:
        cores = [core for handle in self.fabric.strays() for core in self.fabric.lives[handle].cpus]
        assert len(cores) == len(set(cores))

    @invariant()
    def all_that_lives_is_known(self) -> None:
        known = {p.handle for p in self.controller.book.values()}
        assert set(self.fabric.strays()) <= known

    def teardown(self) -> None:
        """When nothing more happens, exactly what should run runs, and closing leaves nothing."""
        self.board.full, self.fabric.broken, self.board.said = False, set(), Pressure()
        self.oracle.sick.clear()
        for _ in range(400):
            self.round(0.5)
        done = {p.task for p in self.board.processes() if p.status == "done"}
        up = {t.name for t in self.board.desired if not t.standby} - done if self.board.up else set()
        if not self.controller.closing or not self.board.up:
            assert set(self.fabric.strays().values()) == up
            assert {p.task for p in self.board.processes() if p.status == "ready"} == up
        self.board.up = False
        for _ in range(400):
            self.round(0.5)
        assert self.fabric.strays() == {}
        assert self.controller.round(self.now)


Reconciling.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestReconciling = Reconciling.TestCase
