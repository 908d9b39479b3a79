"""Talking to one engine: a connection from the pool, the request in its dialect, its answer piece by piece, its errors.

It knows engines die, fall silent and judge; what to do about it is the relay's business.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import lru_cache

import aiohttp
from yarl import URL

from eke.gateway import dialect
from eke.gateway.ask import Ask
from eke.gateway.limits import Limits
from eke.gateway.refusal import Refusal
from eke.runtime.state import Endpoint

IDLE_S = 4.0  # engines close idle connections after 5 s; be first, so that none is used while it is being closed
SETTLE_S = 1.0  # to let an engine end its answer, so that the connection can be used again
SAME = {400, 413, 422, 429}  # the engine's judgement of the request, passed on as it is
MISSING = {404, 405, 501}
LOADING = 503
HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "eke"}


class LostError(Exception):
    """The engine did not answer, or not to the end. `seen`: it may have read the request."""

    def __init__(self, *, seen: bool) -> None:
        self.seen = seen


class Upstream:
    """The pool of connections to engines.

    Args:
        limits: how long to wait for a connection, and for a silent engine.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Open the pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def stop(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    async def post(self, endpoint: Endpoint, ask: Ask, request_id: str) -> Answer:
        """Ask, and wait for the head of a good answer.

        Raises:
            LostError: no engine, a dead one, or one that still loads its model.
            Refusal: the engine's judgement of the request, or 504 when it is silent.
        """
        assert self._session, "the gateway was not started"
        url, body = _url(endpoint.url, ask.path), _body(endpoint, ask)
        headers = {**HEADERS, "x-request-id": request_id}
        try:
            async with asyncio.timeout(self._limits.silence_s):
                response = await self._session.post(url, data=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise LostError(seen=False) from None
        except TimeoutError:
            raise _silent(self._limits.silence_s) from None
        except (aiohttp.ClientError, OSError):
            raise LostError(seen=True) from None
        answer = Answer(response, self._limits.silence_s)
        if response.status == 200:
            return answer
        try:
            if response.status == LOADING:
                raise LostError(seen=False)
            raise _judged(response.status, await answer.whole(), endpoint, ask)
        finally:
            answer.close()


class Answer:
    """An engine's answer while it comes. Closing it before its end tells the engine to stop."""

    def __init__(self, response: aiohttp.ClientResponse, silence_s: float) -> None:
        self.content_type = response.headers.get("content-type", "application/json")
        self._response, self._silence_s = response, silence_s
        self._silent = False
        self._heard = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(silence_s, self._listen)

    def _listen(self) -> None:
        # One timer an answer that looks back, instead of one a token that is put off: the same bound for less work.
        left = self._heard + self._silence_s - time.monotonic()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._listen)
        else:
            self._silent = True
            self._response.close()

    @property
    def streams(self) -> bool:
        """Whether it comes in events."""
        return self.content_type.startswith("text/event-stream")

    async def piece(self) -> bytes:
        """The next bytes; none at its end, whether it was meant to end there or not."""
        try:
            piece = await self._response.content.readany()
        except (aiohttp.ClientError, OSError):
            return b""
        self._heard = time.monotonic()
        return piece

    async def whole(self) -> bytes:
        """All of it.

        Raises:
            LostError: it ended too early.
            Refusal: 504, it stopped coming.
        """
        try:
            return await self._response.read()
        except (aiohttp.ClientError, OSError):
            raise self.fault() from None

    def fault(self) -> Exception:
        """Why it ended too early."""
        return _silent(self._silence_s) if self._silent else LostError(seen=True)

    async def settle(self) -> None:
        """Let it come to its end, which is near."""
        try:
            async with asyncio.timeout(SETTLE_S):
                while await self.piece():
                    pass
        except TimeoutError:
            pass

    def close(self) -> None:
        """Done with it; the connection is kept if the answer is at its end."""
        self._timer.cancel()
        if not self._response.content.at_eof():
            self._response.close()


@lru_cache(maxsize=4096)
def _url(base: str, path: str) -> URL:
    return URL(base + path)


def _body(endpoint: Endpoint, ask: Ask) -> bytes:
    if not ask.stream and ask.name == endpoint.model:
        return ask.raw
    try:
        return json.dumps(dialect.of(endpoint.engine).body(ask, endpoint.model), allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refusal(
            400, "a number in the body is out of range, or it is nested too deeply", "invalid_value"
        ) from None


def _silent(seconds: float) -> Refusal:
    return Refusal(504, f"the engine said nothing for {seconds:g} s", "engine_silent")


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
    code = code if isinstance(code, str) else str(fault.get("type") or "")
    return str(message), code, param if isinstance(param, str) else None
