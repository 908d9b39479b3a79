"""The controller with real processes: it heals what breaks, it may itself be killed, and it leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from dataclasses import replace

from tests.runtime.conftest import Live, gone, kill, python, sleeper, until

from eke.runtime.base import Task
from eke.runtime.controller import BUSY
from eke.runtime.engines import mock
from eke.runtime.engines.base import Replica

TRAINER = """
import signal, sys, time
def end(*_):
    print("checkpoint", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
print("training", flush=True)
time.sleep(600)
"""


def engine(name: str = "assistant-0", **words: object) -> Task:
    return mock.task(Replica(name, "assistant", "m", **words))  # type: ignore[arg-type]


def answers(port: int | None) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return bool(answer.status == 200)


def test_it_adopts_what_a_killed_one_started(live: Live) -> None:
    """Engines serve on while their controller is dead, and the next one keeps them: same pid, no restart."""
    first = live.control(engine(), sleeper("idle"))
    before = live.becomes("assistant-0", "ready")
    idle = live.becomes("idle", "ready")
    first.kill()
    first.wait()
    assert answers(before.port)
    live.control()
    live.state.set_tasks([engine(), sleeper("idle"), sleeper("new")])
    live.becomes("new", "ready")
    assert live.process("assistant-0") == before
    assert live.process("idle") == idle
    assert answers(before.port)


def test_a_killed_engine_returns_on_its_port(live: Live) -> None:
    """An engine killed with SIGKILL is started again where it was, and says why it had to be."""
    live.control(engine())
    before = live.becomes("assistant-0", "ready")
    kill(before.pid)
    after = live.becomes("assistant-0", "ready", restarts=1)
    assert after.port == before.port
    assert after.pid != before.pid
    assert after.error.startswith("killed by SIGKILL")
    assert answers(after.port)


def test_an_engine_killed_while_no_controller_lives_returns(live: Live) -> None:
    """A controller that comes back finds what died meanwhile, and starts it again."""
    first = live.control(engine())
    before = live.becomes("assistant-0", "ready")
    first.kill()
    first.wait()
    kill(before.pid)
    live.control()
    after = live.becomes("assistant-0", "ready", restarts=1)
    assert "ended while nobody watched" in after.error


def test_an_engine_that_hangs_is_replaced(live: Live) -> None:
    """A process that lives but no longer answers is ended, though it cannot hear, and started again."""
    live.control(replace(engine(), grace_s=0.2))
    before = live.becomes("assistant-0", "ready")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGSTOP)
    after = live.becomes("assistant-0", "ready", restarts=1)
    assert "no longer answers" in after.error
    assert gone(before.pid)


def test_a_crash_loop_backs_off_and_says_why(live: Live) -> None:
    """What crashes at once is tried again less and less often, and its last words are shown."""
    live.control(python("bad", "import sys; sys.exit('the weights are not there')"))
    seen = live.becomes("bad", "backoff", failures=3)
    assert seen.error == "ended with exit status 1: the weights are not there"
    assert seen.retry_at - seen.since > 0.5
    assert seen.restarts == 2


def test_what_cannot_be_started_says_why(live: Live) -> None:
    """A missing program or a taken port is an error of that task, not of the controller."""
    live.control(Task("missing", "service", ("/no/such/program",)), sleeper("fine"))
    assert "/no/such/program" in live.becomes("missing", "backoff", failures=2).error
    port = live.process("missing").port
    assert port is None
    live.becomes("fine", "ready")


def test_what_ends_well_is_done(live: Live) -> None:
    """A task that restarts on failure only and exits 0 is done; exit 75 means it goes on."""
    code = "import os, sys; p = sys.argv[1]; first = not os.path.exists(p); open(p, 'w'); sys.exit(75 if first else 0)"
    argv = (sys.executable, "-c", code, str(live.folder / "mark"))
    live.control(Task("t", "trainer", argv, restart="on-failure"))
    assert live.becomes("t", "done").restarts == 0


def test_a_process_nobody_wrote_down_is_ended(live: Live) -> None:
    """A controller that died between start and writing leaves a process that the next one finds and ends."""
    stray = live.fabric.start(sleeper("idle"), live.folder / "x.log", None, ())
    live.control(sleeper("idle"))
    after = live.becomes("idle", "ready")
    assert after.pid != stray.pid
    assert not live.fabric.alive(stray)


def test_what_a_dead_task_left_is_ended(live: Live) -> None:
    """Children that outlive a killed task, even in a session of their own, are gone before it starts again."""
    code = (
        "import subprocess, sys, time\n"
        "argv = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "for apart in (True, False): subprocess.Popen(argv, start_new_session=apart)\n"
        "time.sleep(600)"
    )
    live.control(python("parent", code))
    before = live.becomes("parent", "ready")
    children = until(lambda: [h for h in live.fabric.strays() if h.pid != before.pid][:2])
    until(lambda: len(live.fabric.strays()) == 3)
    kill(before.pid)
    live.becomes("parent", "ready", restarts=1)
    assert not any(live.fabric.alive(child) for child in children)


def test_a_changed_task_is_started_anew_and_a_removed_one_ended(live: Live) -> None:
    """The board is obeyed while the run is up."""
    live.control(sleeper("a"), sleeper("b"))
    first, second = live.becomes("a", "ready"), live.becomes("b", "ready")
    live.state.set_tasks([replace(sleeper("a"), env={"NEW": "1"})])
    until(lambda: live.process("a").pid not in (None, first.pid))
    until(lambda: live.process("b").pid is None)
    assert gone(first.pid)
    assert gone(second.pid)


def test_training_yields_to_waiting_requests_and_returns(live: Live) -> None:
    """Under pressure the trainer writes its checkpoint and stops, a stand-in serves on its cores, later it returns."""
    core = max(os.sched_getaffinity(0))
    trainer = python("trainer", TRAINER, kind="trainer", cpus=(core,), restart="on-failure", priority=2)
    live.control(trainer, engine("more", cpus=(core,), standby=True))
    before = live.becomes("trainer", "ready")

    def pressed() -> bool:
        live.state.set_pressure(3, 9.0)
        return live.process("more").status == "ready"

    until(pressed)
    assert live.process("more").cpus == (core,)
    assert live.process("trainer").status == "stopped"
    assert gone(before.pid)
    live.state.set_pressure(0, 0.0)
    assert live.becomes("trainer", "ready").restarts == 0
    assert live.becomes("more", "stopped").pid is None
    assert "checkpoint" in (live.folder / "logs" / "trainer.log").read_text()


def test_sigterm_ends_all_in_order(live: Live) -> None:
    """Asked to end, it stops what uses engines before the engines, writes them down as stopped, and exits 0."""
    gateway = python("gateway", TRAINER.replace("checkpoint", "drained"))
    controller = live.control(engine(), gateway)
    live.becomes("assistant-0", "ready")
    live.becomes("gateway", "ready")
    until(lambda: "training" in (live.folder / "logs" / "gateway.log").read_text())
    controller.terminate()
    assert controller.wait() == 0
    assert live.fabric.strays() == {}
    book = {p.task: p for p in live.state.processes()}
    assert {p.status for p in book.values()} == {"stopped"}
    assert book["gateway"].since < book["assistant-0"].since
    assert "drained" in (live.folder / "logs" / "gateway.log").read_text()


def test_there_is_only_one(live: Live) -> None:
    """A second controller of the same run leaves at once and changes nothing."""
    live.control(sleeper("a"))
    before = live.becomes("a", "ready")
    assert live.control().wait() == BUSY
    assert live.process("a") == before
