"""The little of ASGI the gateway needs: read a body, answer, notice that the client hung up. Raw, for speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType

from starlette.types import Receive, Scope, Send

from eke.gateway.refusal import Refusal

JSON = b"application/json"
Headers = Sequence[tuple[bytes, bytes]]
DRAIN = 4  # bodies up to this many times the limit are read to their end, so that the client hears the 413


GLANCE_S = 0.02  # before a hang-up is looked for


class ClientGoneError(Exception):
    """The client hung up before its request was complete."""


def header(scope: Scope, name: bytes) -> str:
    """A request header, or an empty string."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        Refusal: 413, it is larger than `limit` bytes.
        ClientGoneError: it never came to its end.
    """
    declared = header(scope, b"content-length")
    if declared.isdigit() and int(declared) > DRAIN * limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > DRAIN * limit:
            break
        more = message.get("more_body", False)
    if size > limit:
        raise _too_large(limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body is larger than {limit} bytes; send a shorter prompt", "body_too_large")


async def reply(send: Send, status: int, body: bytes, headers: Headers = (), content_type: bytes = JSON) -> None:
    """A whole answer."""
    head = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


class HangUp:
    """While entered, cancels the task inside as soon as its client has gone; `happened` tells that cause from others.

    It begins to watch only after a moment: most short requests are over by then, and need no second task.

    Args:
        receive: of a request whose body was read.
        matters: whether leaving still changes anything; once the answer is complete it does not.
    """

    def __init__(self, receive: Receive, matters: Callable[[], bool]) -> None:
        self.happened = False
        self._receive, self._matters = receive, matters

    def __enter__(self) -> HangUp:
        self._task = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(GLANCE_S, self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watch:
            self._watch.cancel()

    def _begin(self) -> None:
        self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._matters() and self._task:
            self.happened = True
            self._task.cancel()
