"""The mock engine: answers like llama.cpp's server, at once or as slowly as asked, with words that mean nothing.

`python -m eke.runtime.engines.mock --alias NAME --port P [--parallel B] [--context C] [--token-s S] [--start-s S]`
The same prompt gives the same answer. A token is a word. For tests, demonstrations and load, never for people.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eke.runtime.base import Task
from eke.runtime.engines.base import Replica, labels

NAME = "mock"
HEALTH = "/health"
METRICS = {
    "running": "llamacpp:requests_processing",
    "waiting": "llamacpp:requests_deferred",
    "prompt_tokens": "llamacpp:prompt_tokens_total",
    "output_tokens": "llamacpp:tokens_predicted_total",
}
EXACT_USAGE = {"timings_per_token": True}
GRACE_S = 5.0
DEFAULT_TOKENS = 24
SAYING = "make a limited supply last by giving each his share and wasting none of what is left over today"


def task(replica: Replica, *, token_s: float = 0.01, start_s: float = 0.0) -> Task:
    """The task that pretends to serve `replica`, `token_s` seconds a token, ready after `start_s`."""
    options = {
        "--alias": replica.model,
        "--port": "{port}",
        "--parallel": str(replica.slots),
        "--context": str(replica.context),
        "--token-s": str(token_s),
        "--start-s": str(start_s),
    }
    return Task(
        name=replica.name,
        kind="engine",
        argv=(sys.executable, "-m", "eke.runtime.engines.mock", *(w for pair in options.items() for w in pair)),
        cpus=replica.cpus,
        port=0,
        health=HEALTH,
        grace_s=GRACE_S,
        standby=replica.standby,
        priority=replica.priority,
        labels=labels(replica, NAME),
    )


def answer(prompt: str, tokens: int) -> list[str]:
    """`tokens` words that depend on the prompt alone."""
    words = SAYING.split()
    seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4])
    chosen = itertools.islice(itertools.cycle(words), seed % len(words), seed % len(words) + tokens)
    return [word if i == 0 else f" {word}" for i, word in enumerate(chosen)]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants, in either dialect."""

    chat: bool
    prompt: str
    tokens: int
    ends: str  # `length` or `stop`
    stream: bool
    usage: bool
    timings: bool
    kind: str  # of answer: the `object` field without `.chunk`

    @classmethod
    def of(cls, body: Mapping[str, Any], *, chat: bool, context: int) -> Ask:
        """Read a body; ValueError says what is wrong with it."""
        prompt = _prompt(body, chat=chat)
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        tokens = int(limit or DEFAULT_TOKENS)
        if len(prompt.split()) + 1 > context:
            raise ValueError(f"the prompt has {len(prompt.split())} tokens, the context {context}")
        return cls(
            chat=chat,
            prompt=prompt,
            tokens=max(0, min(tokens, context - len(prompt.split()))),
            ends="length" if limit else "stop",
            stream=bool(body.get("stream")),
            usage=bool((body.get("stream_options") or {}).get("include_usage")),
            timings=bool(body.get("timings_per_token")),
            kind="chat.completion" if chat else "text_completion",
        )


def _prompt(body: Mapping[str, Any], *, chat: bool) -> str:
    if not chat:
        prompt = body.get("prompt", "")
        return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ValueError("messages must be a list of objects")
    return "\n".join(str(m.get("content", "")) for m in messages)


@dataclass
class Mock:
    """One mock engine and what it has done."""

    alias: str
    parallel: int = 4
    context: int = 4096
    token_s: float = 0.0
    ready_at: float = 0.0
    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.parallel)

    @property
    def ready(self) -> bool:
        """Whether the pretended loading is over."""
        return time.monotonic() >= self.ready_at

    async def words(self, ask: Ask) -> AsyncIterator[str]:
        """The answer, word by word, once a slot is free."""
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            self.prompt_tokens += len(ask.prompt.split())
            for word in answer(ask.prompt, ask.tokens):
                if self.token_s:
                    await asyncio.sleep(self.token_s)
                self.output_tokens += 1
                yield word
        finally:
            self.running -= 1
            self._slots.release()

    def metrics(self) -> str:
        """The figures in Prometheus' text format."""
        return "".join(f"# TYPE {series} gauge\n{series} {getattr(self, ours)}\n" for ours, series in METRICS.items())

    def head(self, ask: Ask) -> dict[str, Any]:
        """What every piece of an answer begins with."""
        kind = f"{ask.kind}.chunk" if ask.stream and ask.chat else ask.kind
        return {"id": f"mock-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": self.alias}


def usage(ask: Ask, done: int) -> dict[str, Any]:
    """Tokens so far, as OpenAI counts them."""
    n = len(ask.prompt.split())
    details = {"cached_tokens": 0}
    return {"prompt_tokens": n, "completion_tokens": done, "total_tokens": n + done, "prompt_tokens_details": details}


def timings(ask: Ask, done: int, seconds: float) -> dict[str, Any]:
    """Tokens so far, as llama.cpp counts them."""
    n = len(ask.prompt.split())
    return {"cache_n": 0, "prompt_n": n, "prompt_ms": 0.0, "predicted_n": done, "predicted_ms": 1000 * seconds}


def whole(ask: Ask, head: Mapping[str, Any], words: list[str], seconds: float) -> dict[str, Any]:
    """An answer in one piece."""
    text = "".join(words)
    said: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if ask.chat else {"text": text}
    choice = {"index": 0, "finish_reason": ask.ends, **said}
    counts = {"usage": usage(ask, len(words)), "timings": timings(ask, len(words), seconds)}
    return {**head, "choices": [choice], **counts}


def piece(ask: Ask, word: str, done: int, seconds: float) -> dict[str, Any]:
    """One word of a stream; the first of a chat says who speaks."""
    said: dict[str, Any] = {"text": word}
    if ask.chat:
        said = {"delta": {"role": "assistant", "content": word} if done == 1 else {"content": word}}
    counts = {"timings": timings(ask, done, seconds)} if ask.timings else {}
    return {"choices": [{"index": 0, "finish_reason": None, **said}], **counts}


def last(ask: Ask, done: int, seconds: float) -> Iterator[dict[str, Any]]:
    """How a stream ends: why, and how many tokens if that was asked."""
    nothing: dict[str, Any] = {"delta": {}} if ask.chat else {"text": ""}
    counts = {"timings": timings(ask, done, seconds)}
    yield {"choices": [{"index": 0, "finish_reason": ask.ends, **nothing}], **({} if ask.usage else counts)}
    if ask.usage:
        yield {"choices": [], "usage": usage(ask, done), **counts}


def app(mock: Mock) -> Any:
    """The ASGI application of one mock engine."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    def refuse(status: int, message: str) -> Response:
        error = {"code": status, "message": message, "type": "invalid_request_error"}
        return JSONResponse({"error": error}, status_code=status)

    async def complete(request: Request, *, chat: bool) -> Response:
        if not mock.ready:
            return refuse(503, "Loading model")
        try:
            ask = Ask.of(json.loads(await request.body()), chat=chat, context=mock.context)
        except (ValueError, TypeError, AttributeError) as error:
            return refuse(400, str(error))
        if ask.stream:
            return StreamingResponse(stream(ask), media_type="text/event-stream")
        began = time.monotonic()
        words = [word async for word in mock.words(ask)]
        return JSONResponse(whole(ask, mock.head(ask), words, time.monotonic() - began))

    async def stream(ask: Ask) -> AsyncIterator[bytes]:
        head, began, done = mock.head(ask), time.monotonic(), 0
        async for word in mock.words(ask):
            done += 1
            yield event({**head, **piece(ask, word, done, time.monotonic() - began)})
        for end in last(ask, done, time.monotonic() - began):
            yield event({**head, **end})
        yield b"data: [DONE]\n\n"

    async def chat(request: Request) -> Response:
        return await complete(request, chat=True)

    async def text(request: Request) -> Response:
        return await complete(request, chat=False)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"}) if mock.ready else refuse(503, "Loading model")

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": mock.alias, "object": "model", "owned_by": "eke"}]})

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(mock.metrics())

    async def tokenize(request: Request) -> Response:
        words = str(json.loads(await request.body()).get("content", "")).split()
        return JSONResponse({"tokens": list(range(len(words)))})

    routes = {"/health": health, "/v1/models": models, "/metrics": metrics}
    posts = {"/v1/chat/completions": chat, "/v1/completions": text, "/tokenize": tokenize}
    return Starlette(
        routes=[Route(path, end) for path, end in routes.items()]
        + [Route(path, end, methods=["POST"]) for path, end in posts.items()]
    )


def event(content: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(content)}\n\n".encode()


def main() -> None:
    """The process of one mock replica."""
    parser = argparse.ArgumentParser(prog="python -m eke.runtime.engines.mock", description=__doc__)
    parser.add_argument("--alias", required=True, help="name clients ask for")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parallel", type=int, default=4, help="concurrent requests")
    parser.add_argument("--context", type=int, default=4096, help="tokens of each request")
    parser.add_argument("--token-s", type=float, default=0.01, help="seconds a token")
    parser.add_argument("--start-s", type=float, default=0.0, help="seconds until ready")
    options = parser.parse_args()

    import uvicorn

    mock = Mock(options.alias, options.parallel, options.context, options.token_s, time.monotonic() + options.start_s)
    grace = int(GRACE_S) - 1
    uvicorn.run(
        app(mock),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=grace,
    )


if __name__ == "__main__":
    main()
