"""The board: what is written is what is read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import strategies

from eke.runtime.base import Task
from eke.runtime.state import Endpoint, Process, State, digest


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "run")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(strategies.tasks(), max_size=4, unique_by=lambda t: t.name))
def test_tasks_return_as_they_were(state: State, tasks: list[Task]) -> None:
    """Any tasks are read back equal, in their order, and replace those before them."""
    state.set_tasks(tasks)
    assert state.tasks() == tasks


def test_processes_are_replaced_and_forgotten(state: State) -> None:
    """A process written again is replaced; those gone are no longer there."""
    state.set_processes([Process("a", "ready", pid=1, started=2.5, port=3, cpus=(0, 1)), Process("b")])
    state.set_processes([Process("a", "backoff", error="no")], gone=["b"])
    assert state.processes() == [Process("a", "backoff", error="no")]


def test_endpoints_are_ready_engines(state: State) -> None:
    """Only engines that are ready are offered, with their address and what they serve."""
    labels = {"model": "m", "workload": "w", "engine": "mock", "slots": "3"}
    tasks = [Task(name, "engine", ("x",), port=0, labels=labels) for name in ("a", "b", "c")]
    state.set_tasks([*tasks, Task("gateway", "service", ("x",), port=8400)])
    state.set_processes(
        [
            Process("a", "ready", port=1234),
            Process("b", "stopping", port=1235),
            Process("gateway", "ready", port=8400),
            Process("removed", "ready", port=1236),
        ]
    )
    assert state.endpoints() == [Endpoint("a", "http://127.0.0.1:1234", "m", "w", "mock", 3)]


def test_pressure_is_dated(state: State) -> None:
    """Pressure carries the time it was reported; nobody waits before it ever was."""
    assert state.pressure().waiting == 0
    before = time.time()
    state.set_pressure(4, 2.5)
    said = state.pressure()
    assert (said.waiting, said.oldest_s) == (4, 2.5)
    assert before <= said.at <= time.time()


def test_two_open_boards_are_one(state: State, tmp_path: Path) -> None:
    """What one process writes another reads at once."""
    other = State(tmp_path / "run")
    other.set_wanted(True)
    assert state.wanted()
    other.set_wanted(False)
    assert not state.wanted()


def test_digest_is_of_what_runs() -> None:
    """Other words to run make another digest; labels and priority do not."""
    task = Task("a", "engine", ("x",), labels={"model": "m"})
    assert digest(task) == digest(Task("a", "engine", ("x",), labels={"model": "n"}, priority=3))
    assert digest(task) != digest(Task("a", "engine", ("x", "y")))
    assert digest(task) != digest(Task("a", "engine", ("x",), env={"A": "1"}))
