"""One request from the line to the answer: find a seat, ask the engine, pass on its words, try elsewhere when it dies.

As long as the client has not received a byte, an engine's death is only a delay. After that the stream ends with an
error event. It knows nothing of where engines come from or who pays.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.types import Send

from eke.gateway import dialect, tally
from eke.gateway.asgi import reply
from eke.gateway.ask import Ask
from eke.gateway.limits import Limits
from eke.gateway.meter import Entry, Meter
from eke.gateway.refusal import Refusal
from eke.gateway.seats import QueueFullError, Seats, Table
from eke.gateway.upstream import Answer, LostError, Upstream

RETRY_AFTER_S = (1, 60)


class Relay:
    """Carries requests to engines.

    Args:
        seats: who is served where.
        upstream: the connections to engines.
        meter: told when a request ended well, or within its stream.
        limits: how long to wait, how often to try.
    """

    def __init__(self, seats: Seats, upstream: Upstream, meter: Meter, limits: Limits) -> None:
        self._seats, self._upstream, self._meter, self._limits = seats, upstream, meter, limits

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
            finally:
                self._seats.release(table, time.monotonic())
            if deaths >= self._limits.attempts:
                raise Refusal(502, f"{deaths} engines in a row ended while reading this request", "engine_lost")

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
        except BaseException as error:
            self._seats.leave(guest, time.monotonic())
            if isinstance(error, TimeoutError):
                busy = any(name in t.names for t in self._seats.tables())
                why = "all engines are busy" if busy else "no engine is ready"
                why = f"{why} for {name!r} after {self._limits.wait_s:g} s"
                raise self._refuse(503, why, "not_ready") from None
            raise

    def _refuse(self, status: int, message: str, code: str) -> Refusal:
        low, high = RETRY_AFTER_S
        waited = round(self._seats.oldest(time.monotonic()))  # a fair picture of how long it takes
        after = min(high, max(low, waited))
        return Refusal(status, f"{message}; try again in {after} s", code, retry_after_s=after)

    async def _through(self, table: Table, ask: Ask, entry: Entry, send: Send) -> None:
        answer = await self._upstream.post(table.endpoint, ask, entry.id)
        try:
            self._seats.worked(table, time.monotonic())
            if ask.stream and answer.streams:
                count = entry.tally = tally.Tally(dialect.of(table.endpoint.engine), ask)
                await self._stream(answer, count, entry, send)
            else:
                await self._whole(answer, entry, send)
        finally:
            answer.close()

    async def _whole(self, answer: Answer, entry: Entry, send: Send) -> None:
        body = await answer.whole()
        entry.tokens = tally.whole(body)
        await reply(send, 200, body, [(b"x-request-id", entry.id.encode())], answer.content_type.encode("latin-1"))
        self._meter.close(entry, "ok")

    async def _stream(self, answer: Answer, count: tally.Tally, entry: Entry, send: Send) -> None:
        begun = False
        while not count.done and (piece := await answer.piece()):
            if out := count.feed(piece):
                if not begun:
                    begun = True
                    await send(_start(entry))
                if count.spoken:
                    entry.first()
                await send({"type": "http.response.body", "body": out, "more_body": not count.done})
        if not begun:
            raise answer.fault()
        if not count.done:
            await send({"type": "http.response.body", "body": _broken(answer.fault()).event()})
        self._meter.close(entry, "ok" if count.done and not count.failed else "failed")
        await answer.settle()


def _broken(fault: Exception) -> Refusal:
    lost = Refusal(502, "the engine ended in the middle of the answer", "engine_lost")
    return fault if isinstance(fault, Refusal) else lost


def _start(entry: Entry) -> dict[str, Any]:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"x-request-id", entry.id.encode()),
    ]
    return {"type": "http.response.start", "status": 200, "headers": headers}
