"""A small server that speaks /v1 and says what a test wants it to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

Answer = Callable[[dict[str, Any]], Any]


@dataclass
class Served:
    """What was asked, and what is answered: text, a whole body, or a status with its headers."""

    answer: Answer = lambda _body: "other"
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    context: int = 4096
    tokenizes: bool = False


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A server at `served.url`; set `served.answer`."""
    state = Served()

    async def complete(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        state.asked.append(body)
        state.headers.append(dict(request.headers))
        said = state.answer(body)
        if isinstance(said, web.StreamResponse):
            return said
        document = (
            said if isinstance(said, dict) else {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
        )
        if not body.get("stream"):
            return web.json_response(document)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in document["choices"][0]["message"]["content"].split(" "):
            await response.write(f"data: {json.dumps({'choices': [{'delta': {'content': word + ' '}}]})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def models(_request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "small", "meta": {"n_ctx": state.context}}]})

    async def tokenize(request: web.Request) -> web.Response:
        if not state.tokenizes:
            raise web.HTTPNotFound
        return web.json_response({"tokens": (await request.json())["content"].split()})

    app = web.Application()
    app.add_routes(
        [
            web.post("/v1/chat/completions", complete),
            web.get("/v1/models", models),
            web.post("/tokenize", tokenize),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    state.url = f"http://{host}:{port}"
    yield state
    await runner.cleanup()
