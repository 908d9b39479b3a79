"""One request from the line to the answer: find a seat, ask the engine, pass on its words, try elsewhere when it dies.

As long as the client has not received a byte, an engine's death is only a delay. After that the stream ends with an
error event. It knows nothing of where engines come from or who pays.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import lru_cache
from typing import Any

import aiohttp
from starlette.types import Send
from yarl import URL

from eke.gateway import dialect, tally
from eke.gateway.asgi import reply
from eke.gateway.ask import Ask
from eke.gateway.limits import Limits
from eke.gateway.meter import Entry, Meter
from eke.gateway.refusal import Refusal
from eke.gateway.seats import QueueFullError, Seats, Table
from eke.runtime.state import Endpoint

IDLE_S = 4.0  # engines close idle connections after 5 s; be first, so that none is used while it is being closed
SETTLE_S = 1.0  # to let an engine end its answer, so that the connection can be used again
RETRY_AFTER_S = (1, 60)
SAME = {400, 413, 422, 429}  # the engine's judgement of the request, passed on as it is
MISSING = {404, 405, 501}


class LostError(Exception):
    """The engine vanished before the client received a byte. `seen`: it may have read the request."""

    def __init__(self, *, seen: bool) -> None:
        self.seen = seen


class Relay:
    """Carries requests to engines.

    Args:
        seats: who is served where.
        meter: told when a request ended well, or within its stream.
        limits: how long to wait for what.
    """

    def __init__(self, seats: Seats, meter: Meter, limits: Limits) -> None:
        self._seats, self._meter, self._limits = seats, meter, limits
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Open the pool of connections."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self._limits.connect_s, sock_read=self._limits.silence_s
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
            timeout=limits,
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept-encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def stop(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    async def serve(self, ask: Ask, entry: Entry, send: Send) -> None:
        """Answer `ask`.

        Raises:
            Refusal: it cannot be answered, and nothing was sent yet.
        """
        deadline = time.monotonic() + self._limits.wait_s
        ticket, deaths = self._seats.ticket(), 0
        while True:
            table = await self._table(ask.name, ticket, deadline)
            entry.task, entry.model = table.endpoint.task, table.endpoint.model
            try:
                return await self._through(table, ask, entry, send)
            except LostError as lost:
                self._seats.failed(table, time.monotonic())
                deaths += lost.seen
                if deaths >= self._limits.attempts:
                    raise Refusal(
                        502, f"{deaths} engines in a row ended while reading this request", "engine_lost"
                    ) from None
            finally:
                self._seats.release(table, time.monotonic())

    async def _table(self, name: str, ticket: int, deadline: float) -> Table:
        now = time.monotonic()
        if table := self._seats.take(name, now):
            return table
        called: asyncio.Future[Table] = asyncio.get_running_loop().create_future()
        try:
            guest = self._seats.wait(name, ticket, now, lambda t: None if called.done() else called.set_result(t))
        except QueueFullError:
            raise self._refuse(429, f"{self._seats.room} requests already wait", "queue_full") from None
        try:
            async with asyncio.timeout(deadline - now):
                return await called
        except TimeoutError:
            self._seats.leave(guest, time.monotonic())
            why = "all engines are busy" if any(name in t.names for t in self._seats.tables()) else "no engine is ready"
            raise self._refuse(503, f"{why} for {name!r} after {self._limits.wait_s:g} s", "not_ready") from None
        except BaseException:
            self._seats.leave(guest, time.monotonic())
            raise

    def _refuse(self, status: int, message: str, code: str) -> Refusal:
        low, high = RETRY_AFTER_S
        after = min(
            high, max(low, round(self._seats.oldest(time.monotonic())))
        )  # as long as the first in line has waited
        return Refusal(status, f"{message}; try again in {after} s", code, retry_after_s=after)

    async def _through(self, table: Table, ask: Ask, entry: Entry, send: Send) -> None:
        response = await self._post(table.endpoint, ask, entry)
        try:
            if response.status == 503:  # still loading its model
                raise LostError(seen=False)
            self._seats.worked(table, time.monotonic())
            if response.status != 200:
                raise _judged(response.status, await _all(response), table.endpoint, ask)
            if ask.stream and response.content_type == "text/event-stream":
                await self._stream(response, table.endpoint, ask, entry, send)
            else:
                await self._whole(response, entry, send)
        finally:
            if not response.content.at_eof():
                response.close()  # hanging up is how an engine is told to stop

    async def _post(self, endpoint: Endpoint, ask: Ask, entry: Entry) -> aiohttp.ClientResponse:
        assert self._session, "the gateway was not started"
        headers = {"content-type": "application/json", "x-request-id": entry.id}
        body = _body(endpoint, ask)
        try:
            return await self._session.post(
                _url(endpoint.url, ask.path), data=body, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise LostError(seen=False) from None
        except TimeoutError:
            raise self._silent() from None
        except (aiohttp.ClientError, OSError):
            raise LostError(seen=True) from None

    def _silent(self) -> Refusal:
        return Refusal(504, f"the engine said nothing for {self._limits.silence_s:g} s", "engine_silent")

    async def _whole(self, response: aiohttp.ClientResponse, entry: Entry, send: Send) -> None:
        try:
            body = await response.read()
        except TimeoutError:
            raise self._silent() from None
        except (aiohttp.ClientError, OSError):
            raise LostError(seen=True) from None
        entry.tokens = tally.whole(body)
        kind = response.headers.get("content-type", "application/json").encode("latin-1")
        await reply(send, 200, body, [(b"x-request-id", entry.id.encode())], kind)
        self._meter.close(entry, "ok")

    async def _stream(
        self, response: aiohttp.ClientResponse, endpoint: Endpoint, ask: Ask, entry: Entry, send: Send
    ) -> None:
        count = entry.tally = tally.Tally(dialect.of(endpoint.engine), ask)
        fault = Refusal(502, "the engine ended in the middle of the answer", "engine_lost")
        begun = False
        while not count.done:
            try:
                chunk = await response.content.readany()
            except TimeoutError:
                chunk, fault = b"", self._silent()
            except (aiohttp.ClientError, OSError):
                chunk = b""
            if not chunk:
                break
            if out := count.feed(chunk):
                if not begun:
                    begun = True
                    await send(_start(entry))
                if count.spoken:
                    entry.first()
                await send({"type": "http.response.body", "body": out, "more_body": not count.done})
        if not begun:
            raise fault if fault.status == 504 else LostError(seen=True)
        if not count.done:
            await send({"type": "http.response.body", "body": fault.event()})
        self._meter.close(entry, "ok" if count.done and not count.failed else "failed")
        await _settle(response)


@lru_cache(maxsize=4096)
def _url(base: str, path: str) -> URL:
    return URL(base + path)


def _start(entry: Entry) -> dict[str, Any]:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"x-request-id", entry.id.encode()),
    ]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _body(endpoint: Endpoint, ask: Ask) -> bytes:
    if not ask.stream and ask.name == endpoint.model:
        return ask.raw
    try:
        return json.dumps(dialect.of(endpoint.engine).body(ask, endpoint.model), allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refusal(
            400, "a number in the body is out of range, or it is nested too deeply", "invalid_value"
        ) from None


async def _all(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (aiohttp.ClientError, OSError):
        return b""


async def _settle(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(SETTLE_S):
            while not response.content.at_eof():
                await response.content.readany()
    except (aiohttp.ClientError, OSError):
        response.close()


def _judged(status: int, body: bytes, endpoint: Endpoint, ask: Ask) -> Refusal:
    """What an engine answered instead of an answer, in our words and OpenAI's shape."""
    message, code, param = _message(body)
    if status in SAME:
        return Refusal(status, message, code or "engine_refused", param=param)
    if status in MISSING:
        return Refusal(404, f"{endpoint.model} does not offer {ask.path}: {message}", "not_offered")
    return Refusal(502, f"the engine failed ({status}): {message}", "engine_failed")


def _message(body: bytes) -> tuple[str, str, str | None]:
    """Message, code and field of an engine's error, whichever of the usual shapes it has."""
    try:
        value = json.loads(body)
    except ValueError:
        value = body.decode(errors="replace")[:500].strip()
    fault = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(fault, dict):
        return str(fault) or "no reason given", "", None
    code, param = fault.get("code"), fault.get("param")
    message = fault.get("message") or fault.get("detail") or "no reason given"
    return (
        str(message),
        code if isinstance(code, str) else str(fault.get("type") or ""),
        param if isinstance(param, str) else None,
    )
