"""Engines: what the tasks that serve a model look like, and that they serve."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import Live, kill, until

from eke import home
from eke.errors import UnknownName
from eke.runtime.base import Task
from eke.runtime.engines import NAMES, engine
from eke.runtime.engines.base import Replica
from eke.runtime.engines.mock import answer

REPLICA = Replica("assistant-0", "assistant", "m", "/w.gguf", slots=3, context=512, cpus=(1,), priority=2, standby=True)
WEIGHTS = Path.home() / ".eke" / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


@pytest.mark.parametrize("name", NAMES)
def test_every_engine_has_the_same_shape(name: str) -> None:
    """Each engine makes a task with a port of its own, a health path, and labels that say what it serves."""
    one = engine(name)
    task = one.task(REPLICA)
    assert name == one.NAME == task.labels["engine"]
    assert (task.port, task.health, task.cpus, task.priority, task.standby) == (0, one.HEALTH, (1,), 2, True)
    assert (task.labels["slots"], task.labels["model"], task.labels["workload"]) == ("3", "m", "assistant")
    assert set(one.METRICS) == {"running", "waiting", "prompt_tokens", "output_tokens"}
    assert "{port}" in task.argv


def test_an_unknown_engine_is_named() -> None:
    """A wrong name offers the near one."""
    with pytest.raises(UnknownName, match="llamacpp"):
        engine("llamacp")


def ask(port: int | None, path: str, body: dict[str, Any] | None = None) -> Any:
    """POST JSON, or GET; the answer as text."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=120) as answer:
        return answer.read().decode()


def events(text: str) -> list[Any]:
    """The pieces of a stream."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 5}


def serving(live: Live, task: Task) -> int:
    live.control(task)
    port = live.becomes(task.name, "ready").port
    assert port is not None
    return port


def test_the_mock_speaks_the_dialect(live: Live) -> None:
    """It answers whole and in pieces, the same each time, and counts tokens as it was asked to."""
    port = serving(live, engine("mock").task(REPLICA.__class__("e", "w", "m", slots=2, context=64)))
    whole = json.loads(ask(port, "/v1/chat/completions", CHAT))
    text = "".join(answer("one two three", 5))
    assert whole["choices"][0]["message"]["content"] == text
    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (3, 5)
    wish = {"stream": True, "stream_options": {"include_usage": True}, **engine("mock").EXACT_USAGE}
    *pieces, end, count = events(ask(port, "/v1/chat/completions", CHAT | wish))
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == text
    assert [piece["timings"]["predicted_n"] for piece in pieces] == [1, 2, 3, 4, 5]
    assert (end["choices"][0]["finish_reason"], count["usage"]["completion_tokens"]) == ("length", 5)
    plain = events(ask(port, "/v1/completions", {"prompt": "one two three", "max_tokens": 5, "stream": True}))
    assert "".join(piece["choices"][0]["text"] for piece in plain) == text
    assert not any("usage" in piece for piece in plain)
    assert json.loads(ask(port, "/v1/models"))["data"][0]["id"] == "m"
    assert "llamacpp:tokens_predicted_total 15" in ask(port, "/metrics")
    assert len(json.loads(ask(port, "/tokenize", {"content": "a b"}))["tokens"]) == 2


@pytest.mark.parametrize("body", [{}, {"messages": "x"}, {"messages": [{"content": "word " * 99}]}])
def test_the_mock_refuses_what_it_cannot_read(live: Live, body: dict[str, Any]) -> None:
    """A wrong body or a prompt beyond the context is a 400 with the reason."""
    port = serving(live, engine("mock").task(Replica("e", "w", "m", context=64)))
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(port, "/v1/chat/completions", body)
    assert refused.value.code == 400
    assert json.loads(refused.value.read())["error"]["message"]
    refused.value.close()


def test_missing_weights_are_said_plainly(live: Live) -> None:
    """Without its weights llama.cpp's task backs off, with the file and the remedy as its error."""
    live.control(engine("llamacpp").task(REPLICA.__class__("e", "w", "m", "/no/such.gguf")))
    error = live.becomes("e", "backoff").error
    assert "/no/such.gguf" in error
    assert "eke models fetch" in error


def test_a_missing_engine_is_said_plainly(live: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the `local` extra it says how to get it."""
    (tmp_path / "weights.gguf").touch()
    (tmp_path / "xllamacpp.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    live.control(engine("llamacpp").task(Replica("e", "w", "m", str(tmp_path / "weights.gguf"))))
    assert "pip install 'eke[local]'" in live.becomes("e", "backoff").error


@pytest.mark.e2e
def test_the_real_engine_serves_and_returns(live: Live) -> None:
    """llama.cpp counts exactly in every piece, is healed after SIGKILL, and finishes its answer on SIGTERM."""
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    weights = home.models() / WEIGHTS.name if (home.models() / WEIGHTS.name).is_file() else WEIGHTS
    if not weights.is_file():
        pytest.skip(f"{WEIGHTS.name} is not here: eke models fetch embedded")
    real = engine("llamacpp")
    port = serving(live, real.task(Replica("e", "w", "m", str(weights), slots=2, context=512, cpus=(0,))))
    # An answer that ends by itself counts one token more, its end, which no piece carries.
    wish = {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True, **real.EXACT_USAGE}
    *pieces, count = events(ask(port, "/v1/chat/completions", CHAT | wish))
    counted = [piece["timings"]["predicted_n"] for piece in pieces if "timings" in piece]
    assert counted[-1] == 5 == count["usage"]["completion_tokens"]
    metrics = ask(port, "/metrics")
    assert all(f"\n{series} " in metrics for series in real.METRICS.values())
    before = live.process("e")
    kill(before.pid)
    assert live.becomes("e", "ready", restarts=1).port == port
    long = CHAT | {"stream": True, "max_tokens": 20, "ignore_eos": True}
    body = json.dumps(long).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/chat/completions", body, timeout=120) as answer:
        first = answer.readline()
        live.state.set_tasks([])
        until(lambda: live.process("e").status in ("stopping", "stopped"))
        rest = answer.read()
    assert b"[DONE]" in first + rest
    until(lambda: not live.fabric.strays())


def test_the_engines_run_under_this_python() -> None:
    """Tasks start with the interpreter that made them, not one found on the way."""
    assert all(engine(name).task(REPLICA).argv[0] == sys.executable for name in NAMES)
