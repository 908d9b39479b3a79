"""A gateway over a real database, and engines that do as they are told: speak token by token, stall, die, refuse."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn

from eke.gateway.app import build
from eke.gateway.limits import Limits
from eke.runtime.base import Task
from eke.runtime.ledger import Ledger, Request
from eke.runtime.state import Process, State

PROMPT, CACHED = 7, 3


class FakeEngine:
    """A plain HTTP server of one kind of answer.

    Set `tokens`, `delay_s`, `die_after` (tokens of a stream, or -1: before any byte), `status` and `error` at any time;
    read `requests` (bodies), `hang_ups` and `most` (requests at once).
    """

    def __init__(self, name: str = "fake", dialect: str = "llamacpp") -> None:
        self.name, self.dialect = name, dialect
        self.tokens, self.delay_s, self.padding = 5, 0.0, ""
        self.die_after: int | None = None
        self.status, self.error = 200, ""
        self.gate: asyncio.Event | None = None
        self.on_request: Callable[[], None] = lambda: None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hang_ups = self.now = self.most = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.requests.append(body)
        self.headers.append(headers)
        self.now += 1
        self.most = max(self.most, self.now)
        answer = asyncio.create_task(self._answer(body, writer))
        watch = asyncio.create_task(reader.read(1))
        try:
            self.on_request()
            await asyncio.wait((answer, watch), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.hang_ups += 1
                return False
            return await answer
        finally:
            self.now -= 1
            answer.cancel()
            watch.cancel()
            await asyncio.gather(answer, watch, return_exceptions=True)

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        if self.gate:
            await self.gate.wait()
        if self.die_after == -1:
            writer.transport.abort()
            return False
        if self.status != 200:
            self._whole(writer, {"error": {"message": self.error, "type": "x", "code": self.status}})
        elif body.get("stream"):
            return await self._stream(body, writer)
        else:
            await asyncio.sleep(self.delay_s)
            text = "".join(f"w{i} " for i in range(self.tokens))
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "text": text,
                "finish_reason": "stop",
            }
            self._whole(writer, {**self._head(body), "choices": [choice], "usage": self._usage(self.tokens)})
        await writer.drain()
        return False

    def _whole(self, writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        head = f"HTTP/1.1 {self.status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n"
        writer.write(head.encode() + b"connection: close\r\n\r\n" + data)

    async def _stream(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        if self.dialect == "llamacpp" and body.get("return_progress"):
            progress = {"total": PROMPT, "cache": CACHED, "processed": PROMPT, "time_ms": 1}
            _event(
                writer,
                {**self._chunk(body, {"role": "assistant"}), **self._counts(body, 0), "prompt_progress": progress},
            )
        for i in range(self.tokens):
            if i == self.die_after:
                writer.transport.abort()
                return False
            _event(writer, {**self._chunk(body, {"content": f"w{i} {self.padding}"}), **self._counts(body, i + 1)})
            await writer.drain()
            await asyncio.sleep(self.delay_s)
        _event(writer, self._chunk(body, {}, "stop"))
        if (body.get("stream_options") or {}).get("include_usage"):
            _event(writer, {**self._head(body), "choices": [], "usage": self._usage(self.tokens)})
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        return False

    def _head(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": "c",
            "created": 1,
            "object": "chat.completion.chunk" if body.get("stream") else "chat.completion",
            "model": body["model"],
        }

    def _chunk(self, body: dict[str, Any], delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "text": delta.get("content", ""), "finish_reason": finish}
        return {**self._head(body), "choices": [choice]}

    def _counts(self, body: dict[str, Any], output: int) -> dict[str, Any]:
        if self.dialect == "llamacpp" and body.get("timings_per_token"):
            return {
                "timings": {"cache_n": CACHED, "prompt_n": PROMPT - CACHED, "predicted_n": output, "predicted_ms": 0.5}
            }
        if self.dialect == "vllm" and (body.get("stream_options") or {}).get("continuous_usage_stats"):
            return {"usage": self._usage(output)}
        return {}

    def _usage(self, output: int) -> dict[str, Any]:
        details = {"cached_tokens": CACHED}
        return {
            "prompt_tokens": PROMPT,
            "completion_tokens": output,
            "total_tokens": PROMPT + output,
            "prompt_tokens_details": details,
        }


def _event(writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
    writer.write(b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n")


QUICK = {"poll_s": 0.02, "pressure_s": 0.02, "flush_s": 0.01, "progress_s": 0.05, "wait_s": 5.0}


class Run:
    """A run folder with its gateway: say which engines are ready, ask through `client`, look into the ledger."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.folder = folder
        self.limits = Limits(**QUICK | limits)
        self.state, self.ledger = State(folder), Ledger(folder)
        self.url = ""

    def tasks(self, *engines: FakeEngine, model: str = "m", slots: int = 4) -> None:
        """Say what should run: each engine serves `model` as a workload of its own name."""
        self.state.set_tasks([self._task(e, model, slots) for e in engines])

    def ready(self, *engines: FakeEngine) -> None:
        """Say which answer now; the others do not."""
        gone = [p.task for p in self.state.processes()]
        self.state.set_processes([], gone)
        self.state.set_processes([Process(e.name, "ready", 0.0, 1, 1.0, e.port) for e in engines])

    def _task(self, engine: FakeEngine, model: str, slots: int) -> Task:
        labels = {"model": model, "workload": engine.name, "engine": engine.dialect, "slots": str(slots)}
        return Task(engine.name, "engine", ("x",), port=0, labels=labels)

    @asynccontextmanager
    async def serving(self, fallback: Any = None) -> AsyncIterator[Run]:
        """The gateway under uvicorn, in this loop."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            config = uvicorn.Config(build(self.folder, fallback, self.limits), log_level="warning", lifespan="on")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            while not server.started:
                await asyncio.sleep(0.005)
                assert not serving.done(), "the server did not start"
            try:
                yield self
            finally:
                server.should_exit = True
                await serving

    def client(self, **headers: str) -> openai.AsyncOpenAI:
        """The official client, without retries of its own."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="x", max_retries=0, default_headers=headers)

    def rows(self) -> list[Request]:
        """The ledger, oldest first."""
        return self.ledger.requests()[::-1]

    async def settled(self, count: int = 1) -> list[Request]:
        """The ledger, once it holds `count` requests and none is running."""
        await until(lambda: len(self.rows()) >= count and all(r.status != "running" for r in self.rows()))
        return self.rows()

    def close(self) -> None:
        self.state.close()
        self.ledger.close()


async def until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    for _ in range(int(seconds / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to hold")


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture
async def engines() -> AsyncIterator[Callable[..., Awaitable[FakeEngine]]]:
    """What starts fake engines, as in `await start("a", tokens=3)`."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "fake", dialect: str = "llamacpp", **settings: Any) -> FakeEngine:
            fake = FakeEngine(name, dialect)
            for key, value in settings.items():
                setattr(fake, key, value)
            await fake.start()
            stack.push_async_callback(fake.stop)
            return fake

        yield start


@pytest.fixture
async def runs(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Run]]]:
    """What starts gateways: `await start(engine, slots=2, queue=1)` has it ready and the gateway listening."""
    async with AsyncExitStack() as stack:

        async def start(
            *ready: FakeEngine, model: str = "m", slots: int = 4, fallback: Any = None, **limits: Any
        ) -> Run:
            run = Run(tmp_path / "run", **limits)
            stack.callback(run.close)
            run.tasks(*ready, model=model, slots=slots)
            run.ready(*ready)
            return await stack.enter_async_context(run.serving(fallback))

        yield start
