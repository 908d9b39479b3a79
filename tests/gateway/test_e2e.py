"""The gateway before real processes: the embedded engine with its real model, and a gateway that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import openai
import pytest

from eke.runtime.state import Process

pytestmark = pytest.mark.e2e
SAY = [{"role": "user", "content": "Count from one to fifty in words, separated by commas."}]
WEIGHTS = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def listening(port: int, path: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(600):
            assert process.returncode is None, "it ended at its start"
            try:
                async with http.get(f"http://127.0.0.1:{port}{path}") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("it never answered")


async def ended(process: asyncio.subprocess.Process, number: int = signal.SIGTERM) -> None:
    if process.returncode is None:
        process.send_signal(number)
    await process.wait()


@pytest.fixture
async def real(tmp_path: Path):
    """The port of the embedded engine on one thread, two slots."""
    pytest.importorskip("xllamacpp", reason="the embedded engine is not installed")
    weights = Path(os.environ.get("EKE_MODELS") or Path.home() / ".eke/models") / WEIGHTS
    if not weights.is_file():
        pytest.skip(f"the weights are not at {weights}")
    port = free_port()
    options = [
        "--model",
        weights,
        "--alias",
        "qwen",
        "--port",
        port,
        "--threads",
        1,
        "--parallel",
        2,
        "--context",
        1024,
    ]
    with (tmp_path / "engine.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "eke.runtime.engines.llamacpp", *map(str, options), stdout=log, stderr=log
        )
    try:
        await listening(port, "/health", process)
        yield port
    finally:
        await ended(process)


async def test_the_embedded_engine(engines, runs, wait_until, real):
    """With the real engine text streams, counts agree with its own, hang-ups are exact, nonsense is refused."""
    stand_in = await engines("assistant")
    run = await runs(stand_in, model="qwen", slots=2)
    run.state.set_processes([Process("assistant", "ready", 0.0, 1, 1.0, real)])
    stand_in.port = real
    await asyncio.sleep(0.2)
    async with run.client() as client:
        stream = await client.chat.completions.create(
            model="assistant", messages=SAY, stream=True, max_tokens=12, stream_options={"include_usage": True}
        )
        chunks = [c async for c in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).strip()
        assert all(c.choices and not c.model_extra for c in chunks[:-1])
        usage = chunks[-1].usage

        whole = await client.chat.completions.create(model="qwen", messages=SAY, max_tokens=12, temperature=0)
        assert whole.usage.prompt_tokens_details.cached_tokens > 0

        stream = await client.chat.completions.create(model="qwen", messages=SAY, stream=True, max_tokens=200)
        seen = 0
        async for chunk in stream:
            seen += bool(chunk.choices[0].delta.content)
            if seen == 5:
                break
        await stream.close()

        for messages in (
            [{"role": "user"}],
            [{"role": "nobody", "content": 5}],
            [{"role": "user", "content": "x " * 9000}],
        ):
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(model="qwen", messages=messages, max_tokens=1)
            assert caught.value.status_code in (400, 413, 422)
    rows = await run.settled(6)
    assert (rows[0].prompt_tokens, rows[0].output_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert (rows[1].prompt_tokens, rows[1].output_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    assert rows[2].status == "cancelled"
    assert 5 <= rows[2].output_tokens < 100
    assert rows[2].prompt_tokens == usage.prompt_tokens
    assert [r.status for r in rows[3:]] == ["failed"] * 3


SERVE = """
import sys, uvicorn
from eke.gateway.app import SERVER, build
uvicorn.run(build(sys.argv[1]), port=int(sys.argv[2]), log_level="warning", **SERVER)
"""


async def served(folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, str(folder), str(port))
    await listening(port, "/readyz", process)
    return process, port


async def test_a_killed_gateway_loses_at_most_a_second(engines, runs, wait_until):
    """After SIGKILL mid-stream all but the last second's tokens are in the ledger, once; the next gateway closes it."""
    fake = await engines(tokens=100_000, delay_s=0.01)
    run = await runs(fake)
    gateway, port = await served(run.folder)
    second = None
    try:
        body = {"model": "m", "messages": SAY, "stream": True}
        got = 0
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with aiohttp.ClientSession() as http, http.post(url, json=body) as answer:
            async for line in answer.content:
                got += b'"content"' in line
                if got == 300:
                    gateway.kill()
                    break
        await gateway.wait()
        await wait_until(lambda: fake.now == 0)
        (row,) = run.rows()
        assert row.status == "running"
        assert 100 <= row.output_tokens <= 400
        second, _ = await served(run.folder)
        (closed,) = run.rows()
        assert (closed.status, closed.output_tokens, closed.id) == ("failed", row.output_tokens, row.id)
    finally:
        await ended(gateway, signal.SIGKILL)
        if second:
            await ended(second)


async def test_ending_writes_everything(engines, runs, wait_until):
    """A gateway asked to end lets streams go on for its grace, and what it served is in the ledger."""
    fake = await engines(tokens=20, delay_s=0.02)
    run = await runs(fake)
    gateway, port = await served(run.folder)
    try:
        body = {"model": "m", "messages": SAY, "stream": True}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with aiohttp.ClientSession() as http, http.post(url, json=body) as answer:
            await answer.content.readline()
            gateway.terminate()
            text = await answer.read()
        assert json.loads(text.split(b"data: ")[-2])["choices"][0]["finish_reason"] == "stop"
        await gateway.wait()
        (row,) = run.rows()
        assert (row.status, row.output_tokens) == ("ok", 20)
    finally:
        await ended(gateway, signal.SIGKILL)
