"""The gateway as one ASGI application: its routes, its beginning and its end. What is not its own goes to `fallback`.

GET  /v1/models, /v1/models/{name}
POST /v1/chat/completions, /v1/completions, /v1/embeddings
GET  /healthz, /readyz, /metrics
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eke.gateway import ask
from eke.gateway.asgi import ClientGoneError, HangUp, header, read_body, reply
from eke.gateway.directory import Card, Directory
from eke.gateway.limits import Limits
from eke.gateway.meter import Entry, Meter
from eke.gateway.metrics import Metrics
from eke.gateway.refusal import Refusal
from eke.gateway.relay import Relay
from eke.gateway.seats import Seats
from eke.gateway.upstream import Upstream
from eke.runtime.ledger import Ledger
from eke.runtime.state import State

log = logging.getLogger(__name__)

APP_HEADER = b"x-eke-app"
APP_LENGTH = 64
MODELS = "/v1/models"
PROMETHEUS = b"text/plain; version=1.0.0; charset=utf-8"
# How uvicorn serves it: streams and JSON on the fastest parts; who asked what is in the ledger, not in a log.
SERVER: dict[str, Any] = {
    "http": "httptools", "loop": "uvloop", "ws": "none", "lifespan": "on", "access_log": False,
    "proxy_headers": False, "server_header": False, "backlog": 4096, "timeout_graceful_shutdown": 5,
}  # fmt: skip
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


def build(run_dir: Path | str, fallback: ASGIApp | None = None, limits: Limits | None = None) -> ASGIApp:
    """The gateway of the run in `run_dir`; what is not its own is answered by `fallback` (the console), or with 404."""
    return Gateway(run_dir, fallback, limits or Limits())


class Gateway:
    """See `build`."""

    def __init__(self, run_dir: Path | str, fallback: ASGIApp | None, limits: Limits) -> None:
        self._run_dir, self._fallback, self._limits = run_dir, fallback, limits
        self._created = int(time.time())
        self._seats = Seats(limits.queue)
        self._metrics = Metrics(self._in_flight, lambda: self._seats.waiting)
        self._meter = Meter(self._metrics, limits)
        self._upstream = Upstream(limits)
        self._relay = Relay(self._seats, self._upstream, self._meter, limits)
        self._directory = Directory(self._seats, limits)
        self._ticking: asyncio.Task[None] | None = None
        self._routes: dict[str, tuple[str, Handler]] = {
            **dict.fromkeys(ask.REQUIRED, ("POST", self._complete)),
            MODELS: ("GET", self._models),
            "/healthz": ("GET", self._healthz),
            "/readyz": ("GET", self._readyz),
            "/metrics": ("GET", self._metrics_page),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            return await self._lifespan(scope, receive, send)
        path = scope["path"]
        method, handler = self._routes.get(path, ("", None))
        if path.startswith(MODELS + "/"):
            method, handler = "GET", self._model
        if scope["type"] == "http" and (handler or path.startswith("/v1/")):
            return await self._answer(scope, receive, send, method, handler)
        return await (self._fallback or _nothing)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, method: str, handler: Handler | None) -> None:
        try:
            if handler is None:
                raise Refusal(404, f"there is no {scope['path']} here", "unknown_path")
            if scope["method"] != method and (scope["method"], method) != ("HEAD", "GET"):
                raise Refusal(405, f"{scope['path']} takes {method}, not {scope['method']}", "method_not_allowed")
            await handler(scope, receive, send)
        except Refusal as refusal:
            await reply(send, refusal.status, refusal.body(), refusal.headers())

    # Requests

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            asked = ask.read(scope["path"], await read_body(scope, receive, self._limits.body_bytes))
        except ClientGoneError:
            return
        card = self._card(asked.name)
        entry = self._meter.open(header(scope, APP_HEADER)[:APP_LENGTH], card.model)
        with HangUp(receive, lambda: entry.open) as hang_up:
            try:
                await self._relay.serve(asked, entry, send)
            except Refusal as refusal:
                self._meter.close(entry, "failed")
                await self._refuse(refusal, entry, send)
            except asyncio.CancelledError:
                self._meter.close(entry, "cancelled" if hang_up.happened else "failed")
                if not hang_up.happened:
                    raise
            finally:
                self._meter.close(entry, "failed")

    async def _refuse(self, refusal: Refusal, entry: Entry, send: Send) -> None:
        await reply(send, refusal.status, refusal.body(), [*refusal.headers(), (b"x-request-id", entry.id.encode())])

    def _card(self, name: str) -> Card:
        cards = self._directory.cards
        if not cards:
            raise Refusal(503, "this run serves no model; see `eke status`", "nothing_served", retry_after_s=5)
        if name not in cards:
            known = ", ".join(cards)
            raise Refusal(
                404, f"no model or workload is called {name!r}; there are: {known}", "model_not_found", param="model"
            )
        return cards[name]

    # What is there

    async def _models(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        data = [self._described(card) for card in self._directory.cards.values()]
        await reply(send, 200, json.dumps({"object": "list", "data": data}).encode())

    async def _model(self, scope: Scope, _receive: Receive, send: Send) -> None:
        card = self._card(scope["path"].removeprefix(MODELS + "/"))
        await reply(send, 200, json.dumps(self._described(card)).encode())

    def _described(self, card: Card) -> dict[str, Any]:
        ready = any(card.name in t.names for t in self._seats.tables())
        fixed = {"object": "model", "created": self._created, "owned_by": "eke"}
        return {"id": card.name, **fixed, "root": card.model, "ready": ready}

    def _in_flight(self) -> float:
        return sum(t.taken for t in self._seats.tables())

    async def _healthz(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await reply(send, 200, b'{"status":"ok"}')

    async def _readyz(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        ready = sorted({t.endpoint.model for t in self._seats.tables()})
        missing = sorted({c.model for c in self._directory.cards.values()} - set(ready))
        reason = "" if ready else ("no engine is ready yet" if missing else "this run has no engines")
        body = {"ready": ready, "not_ready": missing, "reason": reason}
        await reply(send, 200 if ready else 503, json.dumps(body).encode())

    async def _metrics_page(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await reply(send, 200, self._metrics.page(), content_type=PROMETHEUS)

    # Beginning and end

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin before the fallback does, end after it."""
        try:
            await self._start()
        except Exception as error:
            log.exception("the gateway cannot begin")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return

        async def passed(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.startup.failed"):
                await self._stop()
            await send(message)

        await (self._fallback or _nothing)(scope, receive, passed)

    async def _start(self) -> None:
        state = await asyncio.to_thread(State, self._run_dir)
        ledger = await asyncio.to_thread(Ledger, self._run_dir)
        if orphans := await asyncio.to_thread(ledger.close_orphans):
            log.warning(
                "%d requests were open when the last gateway ended; they are closed with what they had used", orphans
            )
        self._opened = (state, ledger)
        self._meter.start(ledger)
        self._upstream.start()
        await self._directory.start(state)
        self._ticking = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            due = time.monotonic() + self._limits.progress_s
            while time.monotonic() < due:
                await asyncio.sleep(self._limits.flush_s)
                self._meter.arrivals()
            self._meter.progress()

    async def _stop(self) -> None:
        if self._ticking:
            self._ticking.cancel()
        await self._directory.stop()
        await self._upstream.stop()
        await asyncio.to_thread(self._meter.stop)
        for opened in self._opened:
            opened.close()


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Where there is no fallback: 404 to requests, yes to beginning and end, no to the rest."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
    elif scope["type"] == "http":
        refusal = Refusal(404, f"there is no {scope['path']} here", "unknown_path")
        await reply(send, refusal.status, refusal.body())
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
