"""The local fabric: real processes, known again, pinned, and ended with all they started."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.runtime.conftest import Live, gone, kill, python, sleeper, until

from eke.errors import InputError
from eke.runtime import proc
from eke.runtime.base import Task
from eke.runtime.fabrics import local

FAMILY = """
import signal, subprocess, sys, time
rest = [sys.executable, "-c", "import time; time.sleep(600)"]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(rest)  # which inherits that it does not hear
signal.signal(signal.SIGTERM, signal.SIG_DFL)
apart = subprocess.Popen(rest, start_new_session=True)
print("family", child.pid, apart.pid, flush=True)
time.sleep(600)
"""


def family(log: Path) -> list[int]:
    """The pids a family task wrote into its log."""
    words = until(lambda: local.last_words(log).split() if "family" in local.last_words(log) else None)
    return [int(word) for word in words[1:]]


def test_a_process_runs_where_and_as_it_is_told(live: Live) -> None:
    """It is pinned from its first instruction, has as many threads as cores, its port, its words in the log."""
    core = max(os.sched_getaffinity(0))
    code = (
        "import os, sys; print(os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'], os.environ['A'], sys.argv[1:])"
    )
    task = Task("t", "service", (sys.executable, "-c", code, "--port={port}"), env={"A": "b"})
    before = os.sched_getaffinity(0)
    handle = live.fabric.start(task, live.folder / "t.log", 1234, (core,))
    assert os.sched_getaffinity(0) == before
    until(lambda: not live.fabric.alive(handle))
    assert live.fabric.exit_code(handle) == 0
    assert local.last_words(live.folder / "t.log") == f"{{{core}}} 1 b ['--port=1234']"


def test_cores_that_are_not_there_are_refused(live: Live) -> None:
    """Cores the machine does not have are named, with what it has."""
    with pytest.raises(InputError, match="4000"):
        live.fabric.start(sleeper("t"), live.folder / "t.log", None, (4000,))


def test_killing_takes_the_whole_family(live: Live) -> None:
    """Children go with their leader, also those that ignore SIGTERM."""
    handle = live.fabric.start(python("t", FAMILY), live.folder / "t.log", None, ())
    child, _ = family(live.folder / "t.log")
    live.fabric.terminate(handle)
    until(lambda: not live.fabric.alive(handle))
    assert proc.born(child) is not None
    live.fabric.kill(handle)
    until(lambda: gone(child))


def test_a_reused_pid_is_neither_adopted_nor_killed(live: Live) -> None:
    """A process that got the pid of a dead one is somebody else: not alive, not asked, not killed."""
    handle = live.fabric.start(sleeper("t"), live.folder / "t.log", None, ())
    older = replace(handle, started=handle.started - 100)
    assert not live.fabric.alive(older)
    live.fabric.terminate(older)
    live.fabric.kill(older)
    assert live.fabric.alive(handle)
    assert psutil.Process(handle.pid).is_running()


def test_strays_are_found_by_their_mark(live: Live) -> None:
    """Every process of the run is found, with its task, also one that left its session; those of others are not."""
    other = local.Local(live.folder / "other")
    handle = live.fabric.start(python("t", FAMILY), live.folder / "t.log", None, ())
    pids = {handle.pid, *family(live.folder / "t.log")}
    assert {h.pid: task for h, task in live.fabric.strays().items()} == dict.fromkeys(pids, "t")
    assert other.strays() == {}
    assert handle in live.fabric.strays()


def test_a_dead_process_is_not_alive_before_it_is_buried(live: Live) -> None:
    """What is left of a killed process until its parent asks counts as dead."""
    handle = live.fabric.start(sleeper("t"), live.folder / "t.log", None, ())
    kill(handle.pid)
    until(lambda: proc.born(handle.pid) is None)
    assert not live.fabric.alive(handle)
    assert live.fabric.exit_code(handle) == -9


def test_a_taken_port_is_not_given(live: Live) -> None:
    """A port somebody listens on is refused; any free one is found."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert live.fabric.port(port) is None
    assert live.fabric.port(port) == port
    assert live.fabric.port(0)


def test_last_words_are_those_of_the_last_start(tmp_path: Path) -> None:
    """What an earlier process wrote is not blamed on the last one."""
    log = tmp_path / "t.log"
    assert local.last_words(log) == ""
    log.write_text(f"{local.LOG_HEAD}1\nold trouble\n{local.LOG_HEAD}2\n")
    assert local.last_words(log) == ""
    log.write_text(f"{local.LOG_HEAD}1\nold trouble\n{local.LOG_HEAD}2\nnew trouble\n\n")
    assert local.last_words(log) == "new trouble"


def test_a_long_log_is_put_aside(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log beyond its size begins anew with the next start, and one older is kept."""
    monkeypatch.setattr(local, "LOG_BYTES", 10)
    log = live.folder / "t.log"
    log.write_text("long and old\n")
    live.fabric.start(python("t", "print('new')"), log, None, ())
    until(lambda: local.last_words(log) == "new")
    assert log.with_suffix(".log.1").read_text() == "long and old\n"
