"""Own, plan, run, see; and kill every process in turn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from tests.e2e.conftest import SCENARIO, Up, until

from eke.runtime import run

pytestmark = pytest.mark.e2e

QUESTION: Any = [{"role": "user", "content": "Write a Python function that adds two numbers, and say how it works."}]


def ask(up: Up, tokens: int = 40) -> tuple[int, int]:
    """One answer; the tokens its client was told it cost."""
    answer = up.client.chat.completions.create(model="assistant", messages=QUESTION, max_tokens=tokens, temperature=0)
    assert answer.usage is not None
    return answer.usage.prompt_tokens, answer.usage.completion_tokens


def losses(up: Up) -> list[tuple[int, float]]:
    """Steps and losses of the training, as its file has them."""
    lines = (up.folder / "train" / "next-generation" / "metrics.jsonl").read_text().splitlines()
    return [(row["step"], row["loss"]) for row in map(json.loads, lines) if "loss" in row]


def test_the_plan_that_runs_is_the_one_shown(up: Up) -> None:
    """The run keeps its plan; the machine is shared between the two workloads, and the plan says what is not kept."""
    plan = json.loads((up.folder / "plan.json").read_text())
    assert {p["workload"] for p in plan["placements"]} >= {"assistant"}
    assert plan["objective"]["bound"] is not None
    assert f"http://127.0.0.1:{up.port}" in up.log.read_text()
    for pool in plan["pools"]:
        assert max(pool["used_chips"]) <= pool["chips"] + 1e-9


def test_a_chat_through_the_official_client_is_answered_and_metered(up: Up) -> None:
    """What the client is told it used is what the ledger holds, streamed or not."""
    before = up.usage()
    told = ask(up)
    stream = up.client.chat.completions.create(
        model="assistant", messages=QUESTION, max_tokens=20, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage is not None
    streamed = chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens
    assert up.usage() == tuple(map(sum, zip(before, told, streamed, strict=True)))


def test_the_loss_falls(up: Up) -> None:
    """What trains is a real model: its loss after some steps is well below that of the first."""
    until("four steps of training", lambda: len(losses(up)) >= 4)
    seen = losses(up)
    assert seen[-1][1] < seen[0][1] - 0.3


def test_a_killed_controller_comes_back_and_takes_over_what_runs(up: Up) -> None:
    """Requests go on while it is dead; the engines it finds again are the ones it started."""
    engine = up.ready("assistant-0")
    keeper = run.controller(up.folder)
    assert keeper is not None
    before, told = up.usage(), []
    asking = threading.Thread(target=lambda: told.append(ask(up)))
    asking.start()
    os.kill(keeper.pid, signal.SIGKILL)
    until("another controller", lambda: (now := run.controller(up.folder)) is not None and now.pid != keeper.pid)
    asking.join()
    assert up.ready("assistant-0") == engine
    assert up.usage() == (before[0] + told[0][0], before[1] + told[0][1])


def test_a_killed_engine_comes_back_and_no_request_is_lost(up: Up) -> None:
    """A request that was under way is asked again of the new process, and counted once."""
    engine = up.ready("assistant-0")
    before, told = up.usage(), []
    asking = threading.Thread(target=lambda: told.append(ask(up)))
    asking.start()
    until("the request under way", lambda: up.eke("status")["requests"]["running"] == 1)
    os.kill(engine, signal.SIGKILL)
    asking.join()
    assert up.ready("assistant-0", not_pid=engine) != engine
    assert len(told) == 1
    assert up.usage() == (before[0] + told[0][0], before[1] + told[0][1])


def test_a_client_that_hangs_up_pays_for_what_it_got(up: Up) -> None:
    """Tokens delivered before the hang-up stand in the ledger; those after it were never made."""
    before = up.usage()
    with up.client.chat.completions.create(model="assistant", messages=QUESTION, max_tokens=400, stream=True) as stream:
        for n, _ in enumerate(stream):
            if n == 8:
                break
    after = up.usage()
    assert after[0] > before[0]
    assert 5 <= after[1] - before[1] < 100


def test_a_killed_trainer_goes_on_from_its_checkpoint(up: Up) -> None:
    """Steps follow on one another, none twice and none missing, and those before the checkpoint are not made again."""
    trainer = up.ready("next-generation")
    folder = up.folder / "train" / "next-generation"
    until("a checkpoint", lambda: list((folder / "checkpoints").glob("step-*")))
    saved = max(int(p.name.split("-")[1].split(".")[0]) for p in (folder / "checkpoints").glob("step-*"))
    before, done = dict(losses(up)), losses(up)[-1][0]
    os.kill(trainer, signal.SIGKILL)
    assert up.ready("next-generation", not_pid=trainer) != trainer
    until("training beyond where it was killed", lambda: (losses(up) or [(0, 0.0)])[-1][0] > done + 1)
    after = dict(losses(up))
    assert list(after) == list(range(1, len(after) + 1))
    assert {n: loss for n, loss in after.items() if n <= saved} == {n: before[n] for n in before if n <= saved}


def test_a_second_up_only_watches(up: Up) -> None:
    """The same command in another window attaches to what runs, starts nothing twice, and leaves it running."""
    engine = up.ready("assistant-0")
    argv = [sys.executable, "-m", "eke", "up", str(SCENARIO), "--best-effort", "--port", str(up.port)]
    second = subprocess.Popen(argv, env=up.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert second.stdout is not None
    for line in second.stdout:
        if "Ctrl-C stops" in line:
            break
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 0
    second.stdout.close()
    assert up.ready("assistant-0") == engine
