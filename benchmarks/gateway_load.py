"""What the gateway costs: requests per second, its own CPU per request, and the time it adds to the first token.

Four processes: an engine that answers at once from memory, a bare proxy on the same parts, the gateway with its
ledger on, and the client. Every load goes direct, through the bare proxy and through the gateway in turns, as a busy
machine moves all three. The ratio to the bare proxy says what waiting lines, counting and the ledger cost.

    python benchmarks/gateway_load.py --json gateway.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop

from eke.cli.output import page, rows_table
from eke.runtime.base import Task
from eke.runtime.ledger import Ledger
from eke.runtime.state import Process, State

MODEL, PROMPT = "bench-1B", 30
WAYS = ("direct", "bare", "gateway")
WORDS = " ".join(["weights"] * 100)


# The engine


def _canned(tokens: int) -> tuple[bytes, list[bytes]]:
    """An answer in one piece, and the events of a stream, as llama.cpp writes them with `timings_per_token`."""
    usage = {"prompt_tokens": PROMPT, "completion_tokens": tokens, "total_tokens": PROMPT + tokens}
    base = {"id": "chatcmpl-0", "created": 1, "model": MODEL, "system_fingerprint": "b1-bench"}
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * tokens}}
    whole = json.dumps({**base, "object": "chat.completion", "choices": [message], "usage": usage}).encode()
    events = []
    for i in range(tokens):
        timings = {"cache_n": 0, "prompt_n": PROMPT, "prompt_ms": 500.1, "predicted_n": i + 1, "predicted_ms": 50.2}
        choice = {"index": 0, "finish_reason": None, "delta": {"content": "word "}}
        events.append({"choices": [choice], **base, "object": "chat.completion.chunk", "timings": timings})
    events.append({"choices": [], **base, "object": "chat.completion.chunk", "usage": usage})
    pieces = [b"data: " + json.dumps(e, separators=(",", ":")).encode() + b"\n\n" for e in events]
    return whole, [b"%x\r\n%s\r\n" % (len(p), p) for p in [*pieces, b"data: [DONE]\n\n"]]


class Engine(asyncio.Protocol):
    """Answers every request from memory; a stream brings one event every `interval_s`."""

    def __init__(self, tokens: int, interval_s: float) -> None:
        whole, self.events = _canned(tokens)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
        self.whole, self.interval_s, self.data = head + whole, interval_s, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self.data += data
        head, gap, body = self.data.partition(b"\r\n\r\n")
        if not gap or len(body) < _length(head):
            return
        self.data = b""
        if b'"stream": true' not in body:
            self.transport.write(self.whole)
            return
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self._next(0)

    def _next(self, i: int) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(self.events[i])
        if i + 1 < len(self.events):
            asyncio.get_running_loop().call_later(self.interval_s, self._next, i + 1)
        else:
            self.transport.write(b"0\r\n\r\n")


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0] or 0)


async def _engine(port: int, tokens: int, interval_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Engine(tokens, interval_s), "127.0.0.1", port)
    await server.serve_forever()


class Bare:
    """The least a proxy on the same parts can do: no line, no counting, no ledger. The rest is measured against it."""

    def __init__(self, upstream: str) -> None:
        self.url = f"http://127.0.0.1:{upstream}/v1/chat/completions"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: D102
        if scope["type"] == "lifespan":
            await receive()
            connector = aiohttp.TCPConnector(limit=0)
            self.session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.session.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = (await receive())["body"]
        async with self.session.post(self.url, data=body, headers={"content-type": "application/json"}) as answer:
            names = ("content-type", "content-length")
            headers = [(name.encode(), answer.headers[name].encode()) for name in names if name in answer.headers]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while piece := await answer.content.readany():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _proxy(role: str, port: int, where: str) -> None:
    import uvicorn

    from eke.gateway.app import SERVER, build

    app = Bare(where) if role == "bare" else build(where)
    uvicorn.run(app, port=port, log_level="warning", **SERVER)


# The client


class Client(asyncio.Protocol):
    """One connection: sends a request, says when its first event and its end came."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102
        if not self.end.done():
            self.end.set_exception(error or ConnectionError("closed"))

    async def ask(self, request: bytes) -> tuple[float, float]:
        """Seconds to the first event (or the end) and to the end."""
        self.tail, self.need, self.stream, self.first = b"", -1, False, 0.0
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self.transport.write(request)
        await self.end
        done = time.perf_counter() - began
        return (self.first - began if self.first else done), done

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self.need < 0:
            head, gap, data = (self.tail + data).partition(b"\r\n\r\n")
            if not gap:
                self.tail = head
                return
            assert head.startswith(b"HTTP/1.1 200"), head
            self.stream, self.need, self.tail = b"event-stream" in head, _length(head), b""
        if not self.stream:
            self.need -= len(data)
            if self.need == 0 and not self.end.done():
                self.end.set_result(None)
            return
        if data and not self.first:
            self.first = time.perf_counter()
        self.tail = (self.tail + data)[-8:]
        if self.tail.endswith(b"\r\n0\r\n\r\n") and not self.end.done():
            self.end.set_result(None)


def _request(stream: bool) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": WORDS}], "max_tokens": 64, "stream": stream}
    data = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return (
        f"{head}x-eke-app: bench\r\nauthorization: Bearer sk-bench\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        + data
    )


async def _load(port: int, load: Load) -> tuple[list[float], list[float], float]:
    """First-event times, whole times, and the seconds it all took."""
    request, left = _request(load.stream), load.requests
    firsts: list[float] = []
    wholes: list[float] = []

    async def one() -> None:
        nonlocal left
        _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
        await asyncio.sleep(random.uniform(0, load.spread_s))
        while left > 0:
            left -= 1
            first, whole = await client.ask(request)
            firsts.append(first)
            wholes.append(whole)
        client.end = asyncio.get_running_loop().create_future()
        client.end.set_result(None)
        client.transport.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(load.at_once)))
    return firsts, wholes, time.perf_counter() - began


# The measurement


@dataclass(frozen=True)
class Load:
    """What is asked: `requests` in all over `at_once` connections."""

    name: str
    at_once: int
    requests: int
    stream: bool
    spread_s: float = 0.0


@dataclass(frozen=True)
class Result:
    """One load, one way. CPU is that of the process in between."""

    load: str
    way: str
    requests: int
    req_per_s: float
    first_p50_ms: float
    first_p99_ms: float
    whole_p50_ms: float
    cpu_ms: float


def _measure(load: Load, way: str, port: int, process: psutil.Process) -> Result:
    before = process.cpu_times()
    firsts, wholes, seconds = uvloop.run(_load(port, load))
    time.sleep(0.3)  # the ledger's last batch belongs to it
    after = process.cpu_times()
    cpu_ms = 1e3 * (after.user + after.system - before.user - before.system) / len(firsts)
    first, whole = statistics.quantiles(firsts, n=100), statistics.median(wholes)
    ms = [round(1e3 * x, 3) for x in (first[49], first[98], whole)]
    return Result(load.name, way, len(firsts), round(len(firsts) / seconds, 1), *ms, round(cpu_ms, 3))


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _listening(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "a process ended at its start"
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("nothing listens")


def _engine_in(run_dir: Path, port: int) -> None:
    """Have the run say that the engine is ready."""
    labels = {"model": MODEL, "workload": "bench", "engine": "llamacpp", "slots": "100000"}
    state = State(run_dir)
    state.set_tasks([Task("bench", "engine", ("x",), port=0, labels=labels)])
    state.set_processes([Process("bench", "ready", 0.0, 1, 1.0, port)])
    state.close()


def _check_ledger(run_dir: Path, sent: int, tokens: int) -> None:
    ledger = Ledger(run_dir)
    (row,) = ledger.usage(by="app")
    ledger.close()
    found = (row.requests, row.running, row.failed, row.cancelled, row.output_tokens)
    assert found == (sent, 0, 0, 0, sent * tokens), row


def run(load: Load, tokens: int, interval_s: float, rounds: int) -> list[Result]:
    """One load every way, in turns; the ledger must hold every request and token that passed the gateway."""
    ports = {way: _free_port() for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        _engine_in(Path(folder), ports["direct"])
        words = {"direct": (tokens, interval_s), "bare": (ports["direct"],), "gateway": (folder,)}
        roles = {w: [sys.executable, __file__, "--role", w, str(ports[w]), *map(str, words[w])] for w in WAYS}
        processes = {way: subprocess.Popen(command) for way, command in roles.items()}
        try:
            for way, process in processes.items():
                _listening(ports[way], process)
            warm = replace(load, requests=max(load.at_once, load.requests // 10))
            watched = {way: psutil.Process(process.pid) for way, process in processes.items()}
            for way in WAYS:
                _measure(warm, way, ports[way], watched[way])
            results = [_measure(load, way, ports[way], watched[way]) for _ in range(rounds) for way in WAYS]
        finally:
            for process in reversed(processes.values()):
                process.terminate()
                process.wait()
        _check_ledger(Path(folder), warm.requests + rounds * load.requests, tokens)
    return results


def middle(results: list[Result], way: str, key: str) -> float:
    """Median over the rounds."""
    return statistics.median(getattr(r, key) for r in results if r.way == way)


def summary(whole: list[Result], streams: list[Result]) -> dict[str, float]:
    """The figures the design sets bars for, and the same against the bare proxy of the same run."""
    cpu, stream_cpu = middle(whole, "gateway", "cpu_ms"), middle(streams, "gateway", "cpu_ms")
    first = {way: middle(streams, way, "first_p50_ms") for way in WAYS}
    return {
        "req_per_s": middle(whole, "gateway", "req_per_s"),
        "bare_req_per_s": middle(whole, "bare", "req_per_s"),
        "cpu_ms": cpu,
        "cpu_of_bare": round(cpu / middle(whole, "bare", "cpu_ms"), 2),
        "added_ttft_p50_ms": round(first["gateway"] - first["direct"], 3),
        "bare_added_ttft_p50_ms": round(first["bare"] - first["direct"], 3),
        "stream_cpu_ms": stream_cpu,
        "stream_cpu_of_bare": round(stream_cpu / middle(streams, "bare", "cpu_ms"), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="answers in one piece a round")
    parser.add_argument("--streams", type=int, default=300, help="streams at once")
    parser.add_argument("--tokens", type=int, default=40, help="tokens a stream")
    parser.add_argument("--interval-ms", type=float, default=50.0, help="between tokens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.role:
        role, port, *words = a.role
        if role == "direct":
            uvloop.run(_engine(int(port), int(words[0]), float(words[1])))
        else:
            _proxy(role, int(port), *words)
        return
    interval_s = a.interval_ms / 1e3
    one = Load("json", 32, a.requests, stream=False)
    many = Load("sse", a.streams, 3 * a.streams, stream=True, spread_s=a.tokens * interval_s)
    whole, streams = (run(load, a.tokens, interval_s, a.rounds) for load in (one, many))
    rows = [asdict(r) for r in (*whole, *streams)]
    figures = summary(whole, streams)
    page.print(rows_table(rows))
    page.print(rows_table([{"figure": k, "value": v} for k, v in figures.items()]))
    if a.json:
        a.json.write_text(json.dumps({"format": "eke.bench.gateway/1", **figures, "runs": rows}, indent=2))


if __name__ == "__main__":
    main()
