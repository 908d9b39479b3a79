"""What the gateway costs: requests per second, its own CPU per request, and the time it adds to the first token.

Three processes: an engine that answers at once from memory, the gateway with its ledger on, and the client. Every figure is
taken direct and through the gateway in the same run, in turns, since a busy machine moves both. CPU is the gateway process's own.

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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import uvloop

from eke.cli.output import page, rows_table
from eke.runtime.base import Task
from eke.runtime.ledger import Ledger
from eke.runtime.state import Process, State

MODEL, PROMPT = "bench-1B", 30
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
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


def _gateway(port: int, run_dir: str) -> None:
    import uvicorn

    from eke.gateway.app import SERVER, build

    uvicorn.run(build(run_dir), port=port, log_level="warning", **SERVER)


# The client


class Client(asyncio.Protocol):
    """One connection: sends a request, says when its first event and its end came."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
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

    def data_received(self, data: bytes) -> None:
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


async def _load(
    port: int, streams: int, total: int, stream: bool, spread_s: float
) -> tuple[list[float], list[float], float]:
    """`total` requests over `streams` connections; first-event times, whole times, seconds."""
    request, left = _request(stream), total
    firsts: list[float] = []
    wholes: list[float] = []

    async def one() -> None:
        nonlocal left
        _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
        await asyncio.sleep(random.uniform(0, spread_s))
        while left > 0:
            left -= 1
            first, whole = await client.ask(request)
            firsts.append(first)
            wholes.append(whole)
        client.end = asyncio.get_running_loop().create_future()
        client.end.set_result(None)
        client.transport.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(streams)))
    return firsts, wholes, time.perf_counter() - began


# The measurement


@dataclass(frozen=True)
class Result:
    """One load, one way."""

    load: str
    way: str
    requests: int
    req_per_s: float
    first_p50_ms: float
    first_p99_ms: float
    whole_p50_ms: float
    gateway_cpu_ms: float | None


def _measure(
    load: str, way: str, port: int, process: psutil.Process, n: int, total: int, stream: bool, spread_s: float
) -> Result:
    before = process.cpu_times()
    firsts, wholes, seconds = uvloop.run(_load(port, n, total, stream, spread_s))
    if way == "gateway":
        time.sleep(0.3)  # the ledger's last batch belongs to it
    after = process.cpu_times()
    cpu = (after.user + after.system) - (before.user + before.system)
    ms = [1e3 * statistics.quantiles(x, n=100)[q] for x, q in ((firsts, 49), (firsts, 98), (wholes, 49))]
    count = len(firsts)
    return Result(
        load,
        way,
        count,
        round(count / seconds, 1),
        *(round(x, 3) for x in ms),
        round(1e3 * cpu / count, 3) if way == "gateway" else None,
    )


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


def _role(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "--role", *map(str, words)])


def _with_engine(
    run_dir: Path, tokens: int, interval_s: float, measure: Callable[[int, int, psutil.Process], list[Result]]
) -> list[Result]:
    engine_port, port = _free_port(), _free_port()
    labels = {"model": MODEL, "workload": "bench", "engine": "llamacpp", "slots": "100000"}
    state = State(run_dir)
    state.set_tasks([Task("bench", "engine", ("x",), port=0, labels=labels)])
    state.set_processes([Process("bench", "ready", 0.0, 1, 1.0, engine_port)])
    state.close()
    engine, gateway = _role("engine", engine_port, tokens, interval_s), _role("gateway", port, run_dir)
    try:
        _listening(engine_port, engine)
        _listening(port, gateway)
        return measure(engine_port, port, psutil.Process(gateway.pid))
    finally:
        for process in (gateway, engine):
            process.terminate()
            process.wait()


def _rounds(
    load: str, n: int, total: int, stream: bool, spread_s: float, rounds: int
) -> Callable[[int, int, psutil.Process], list[Result]]:
    def measure(engine_port: int, port: int, process: psutil.Process) -> list[Result]:
        _measure("warm", "gateway", port, process, n, max(n, total // 10), stream, spread_s)
        ways = [("direct", engine_port), ("gateway", port)] * rounds
        return [_measure(load, way, p, process, n, total, stream, spread_s) for way, p in ways]

    return measure


def _check_ledger(run_dir: Path, sent: int) -> None:
    ledger = Ledger(run_dir)
    (row,) = ledger.usage(by="app")
    ledger.close()
    assert (row.requests, row.running, row.failed, row.cancelled) == (sent, 0, 0, 0), row


def run(requests: int, streams: int, tokens: int, interval_s: float, rounds: int) -> list[Result]:
    """All loads; the ledger is checked to hold every request."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        whole = _rounds("answers in one piece, 32 at once", 32, requests, False, 0.0, rounds)
        many = _rounds(
            f"{streams} streams, a token every {1e3 * interval_s:g} ms",
            streams,
            3 * streams,
            True,
            tokens * interval_s,
            rounds,
        )
        for name, measure, total, n in (("json", whole, requests, 32), ("sse", many, 3 * streams, streams)):
            run_dir = Path(folder) / name
            results += _with_engine(run_dir, tokens, interval_s, measure)
            _check_ledger(run_dir, rounds * total + max(n, total // 10))
    return results


def summary(results: list[Result]) -> dict[str, float]:
    """The figures the design sets bars for: medians over the rounds."""
    json_, sse = results[: len(results) // 2], results[len(results) // 2 :]

    def middle(rows: list[Result], way: str, key: str) -> float:
        return statistics.median(getattr(r, key) for r in rows if r.way == way)

    return {
        "req_per_s": middle(json_, "gateway", "req_per_s"),
        "cpu_ms_per_request": middle(json_, "gateway", "gateway_cpu_ms"),
        "added_ttft_p50_ms": round(middle(sse, "gateway", "first_p50_ms") - middle(sse, "direct", "first_p50_ms"), 3),
        "stream_cpu_ms_per_request": middle(sse, "gateway", "gateway_cpu_ms"),
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
    if a.role and a.role[0] == "engine":
        uvloop.run(_engine(int(a.role[1]), int(a.role[2]), float(a.role[3])))
    elif a.role:
        _gateway(int(a.role[1]), a.role[2])
    else:
        results = run(a.requests, a.streams, a.tokens, a.interval_ms / 1e3, a.rounds)
        rows = [asdict(r) for r in results]
        page.print(rows_table(rows), rows_table([summary(results)]))
        if a.json:
            a.json.write_text(json.dumps({"format": "eke.bench.gateway/1", **summary(results), "runs": rows}, indent=2))


if __name__ == "__main__":
    main()
