"""A run from the outside: up stays, heals its controller, ends everything; down leaves nothing, whatever is dead."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runtime.conftest import Live, gone, kill, python, sleeper, until

from eke import home
from eke.errors import InputError, UnknownName
from eke.runtime import proc, run
from eke.runtime.state import Process, State

UP = """
import sys
from pathlib import Path
from eke.runtime.base import Task
from eke.runtime.run import up
argv = (sys.executable, "-c", "import time; time.sleep(600)")
names = sys.argv[2].split(",")
mine = up(Path(sys.argv[1]), [Task(name, "service", argv) for name in names], lambda now: print(len(now), flush=True))
sys.exit(0 if mine else 3)
"""


@pytest.fixture
def ups(live: Live) -> Iterator[list[subprocess.Popen[str]]]:
    """Every `up` a test starts; whatever it leaves is ended."""
    started: list[subprocess.Popen[str]] = []
    yield started
    live.state.set_wanted(False)
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    if (keeper := run.controller(live.folder)) is not None:
        proc.send(keeper.pid, signal.SIGKILL)
        until(lambda: not proc.alive(keeper))


def up(live: Live, ups: list[subprocess.Popen[str]], tasks: str = "a,b") -> subprocess.Popen[str]:
    argv = [sys.executable, "-W", "error", "-c", UP, str(live.folder), tasks]
    heard = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, tests would pass on that it is not heard
    ups.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    signal.signal(signal.SIGHUP, heard)
    return ups[-1]


def left(live: Live) -> list[object]:
    """What of the run still lives."""
    keeper = run.controller(live.folder)
    return [*live.fabric.strays(), *([keeper] if keeper else [])]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_ends_everything(live: Live, ups: list[subprocess.Popen[str]], number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal each leave nothing running."""
    child = up(live, ups)
    live.becomes("b", "ready")
    child.send_signal(number)
    said = child.communicate(timeout=60)[0]
    assert (child.returncode, left(live)) == (0, []), said
    assert {p.status for p in live.state.processes()} == {"stopped"}


def test_a_killed_controller_is_replaced(live: Live, ups: list[subprocess.Popen[str]]) -> None:
    """`up` starts the controller again when it is killed; what runs is not touched."""
    up(live, ups)
    before = live.becomes("a", "ready"), live.becomes("b", "ready")
    keeper = run.controller(live.folder)
    assert keeper is not None
    kill(keeper.pid)
    until(lambda: run.controller(live.folder) not in (None, keeper))
    live.state.set_tasks([sleeper("a"), sleeper("b"), sleeper("c")])
    live.becomes("c", "ready")
    assert (live.process("a"), live.process("b")) == before


def test_a_second_up_joins_the_first(live: Live, ups: list[subprocess.Popen[str]]) -> None:
    """Another `up` of a running run starts nothing twice, changes its tasks, and leaves it up when interrupted."""
    first = up(live, ups)
    before = live.becomes("a", "ready")
    second = up(live, ups, "a,c")
    live.becomes("c", "ready")
    until(lambda: live.process("b").pid is None)
    assert live.process("a") == before
    second.send_signal(signal.SIGINT)
    assert (second.wait(), first.poll()) == (3, None)
    assert live.process("a") == before


def test_down_ends_a_run_in_another_terminal(live: Live, ups: list[subprocess.Popen[str]]) -> None:
    """`down` ends everything, and the `up` that kept it ends by itself."""
    child = up(live, ups)
    live.becomes("a", "ready")
    live.becomes("b", "ready")
    assert sorted(run.down(live.folder)) == ["a", "b"]
    assert left(live) == []
    child.communicate(timeout=60)
    assert child.returncode == 0


def test_down_needs_no_controller(live: Live) -> None:
    """With the controller dead, `down` ends what it had started, also a process nobody wrote down."""
    deaf = python("deaf", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    controller = live.control(sleeper("a"), deaf)
    recorded = live.becomes("a", "ready"), live.becomes("deaf", "ready")
    controller.kill()
    controller.wait()
    live.fabric.start(sleeper("b"), live.folder / "b.log", None, ())
    assert sorted(run.down(live.folder, hurry=True)) == ["a", "deaf"]
    assert live.fabric.strays() == {}
    assert all(gone(p.pid) for p in recorded)
    assert run.down(live.folder) == []


def test_start_begins_with_a_clean_slate(live: Live) -> None:
    """What an earlier run of the same name left in the book (a pid of before the reboot, failures) counts no more."""
    live.state.set_processes([Process("a", "ready", pid=1, started=-1.0, restarts=7, failures=3, error="old")])
    keeper = run.start(live.folder, [sleeper("a")])
    process = live.becomes("a", "ready")
    assert (process.restarts, process.error) == (0, "")
    assert run.start(live.folder, [sleeper("a")]) == keeper
    run.down(live.folder)
    assert left(live) == []


def test_down_of_nothing_is_nothing(tmp_path: Path) -> None:
    """A run that never was is not made by ending it."""
    assert run.down(tmp_path / "never") == []
    assert not (tmp_path / "never").exists()


def test_runs_are_found_by_name_path_or_by_being_there(tmp_path: Path) -> None:
    """A run's name or folder finds it, nothing finds the latest; unknown ones name the near."""
    with pytest.raises(InputError, match="no run"):
        run.find()
    State(home.run("this-machine")).close()
    assert run.find() == run.find("this-machine") == home.run("this-machine")
    State(tmp_path / "elsewhere").close()
    assert run.find(str(tmp_path / "elsewhere")) == tmp_path / "elsewhere"
    with pytest.raises(UnknownName, match="this-machin"):
        run.find("this-machin")
