"""The one door of every application to the gateway's /v1: chat, streams, retries, and plain words when it fails.

Knows nothing of chips, plans or prompts. Works against any OpenAI-compatible server.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from eke.errors import EkeError, InputError

DEFAULT_URL = "http://127.0.0.1:8400"
BUSY = frozenset({429, 502, 503, 504})
MAX_ATTEMPTS = 6
MAX_PAUSE_S = 20.0
BYTES_PER_TOKEN = 2.5  # on the safe side: English has about 4 a token, Chinese about 3.5 (UTF-8)
DEFAULT_CONTEXT = 4096
AT_ONCE = 4  # requests in flight: enough to fill a small engine's batch, few enough to leave room for others

Message = Mapping[str, str]


class ContextTooLong(EkeError):
    """The prompt does not fit the model's context; the caller may send less."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        finish: why it ended: `stop`, or `length` when it was cut off.
        first: log-probabilities of the likeliest first tokens; empty when not asked for or not given.
    """

    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    output_tokens: int = 0
    first: Mapping[str, float] | None = None


class Client:
    """An open connection to one gateway; use it as an async context manager.

    Args:
        base_url: of the gateway, with or without `/v1`.
        app: the name its requests are counted under.
        model: which model to ask; None: the first one served.
        timeout_s: for one request, waiting in the queue included.
    """

    def __init__(
        self, base_url: str = DEFAULT_URL, *, app: str, model: str | None = None, timeout_s: float = 600
    ) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._headers = {"X-Eke-App": app}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=10)
        self._model = model
        self._session: aiohttp.ClientSession | None = None
        self._seats = asyncio.Semaphore(AT_ONCE)
        self._can_count = True
        self._reached = False

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def models(self) -> list[dict[str, Any]]:
        """What is served, as /v1/models says it."""
        async with await self._open("GET", "/v1/models") as response:
            return list((await response.json())["data"])

    async def model(self) -> str:
        """The model that is asked."""
        if self._model is None:
            served = await self.models()
            if not served:
                raise EkeError(f"{self.base_url} serves no model yet", remedy="eke status; it may still be starting")
            self._model = str(served[0]["id"])
        return self._model

    async def context(self) -> int:
        """Tokens the model takes in one request, prompt and answer together; a small number when nobody says."""
        name = await self.model()
        entry = next((m for m in await self.models() if m.get("id") == name), {})
        meta = entry.get("meta") or {}
        said = (entry.get("context"), entry.get("max_model_len"), meta.get("n_ctx"))
        return next((int(n) for n in said if n), DEFAULT_CONTEXT)

    async def count(self, text: str) -> int:
        """Tokens of `text`: the engine's own count where it can be asked, else a safe estimate."""
        if self._can_count and self._session is not None:
            try:
                async with self._session.post(f"{self.base_url}/tokenize", json={"content": text}) as response:
                    if response.status == 200:
                        return len((await response.json())["tokens"])
            except (aiohttp.ClientError, TimeoutError, KeyError, TypeError, ValueError):
                pass
            self._can_count = False
        return estimate(text)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int = 256,
        schema: Mapping[str, Any] | None = None,
        first: int = 0,
    ) -> Reply:
        """One whole answer, the likeliest one: temperature 0 and a fixed seed.

        Args:
            messages: the conversation so far.
            max_tokens: of the answer.
            schema: a JSON schema the answer is held to.
            first: how many alternatives of the first token to return, with their log-probabilities.
        """
        body: dict[str, Any] = await self._body(messages, max_tokens)
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        if first:
            body |= {"logprobs": True, "top_logprobs": first}
        async with self._seats, await self._open("POST", "/v1/chat/completions", body) as response:
            return _reply(await response.json())

    async def stream(self, messages: Sequence[Message], *, max_tokens: int = 256) -> AsyncIterator[str]:
        """The answer, piece by piece as it is written."""
        body = await self._body(messages, max_tokens) | {"stream": True}
        async with self._seats, await self._open("POST", "/v1/chat/completions", body) as response:
            async for line in response.content:
                event = line.decode().strip().removeprefix("data:").strip()
                if not line.startswith(b"data:") or event == "[DONE]":
                    continue
                document = json.loads(event)
                if "error" in document:
                    raise EkeError("the answer broke off", why=_said(document), remedy="try again; see `eke status`")
                for choice in document.get("choices") or ():
                    if piece := (choice.get("delta") or {}).get("content"):
                        yield piece

    async def _body(self, messages: Sequence[Message], max_tokens: int) -> dict[str, Any]:
        model = await self.model()
        return {"model": model, "messages": list(messages), "max_tokens": max_tokens, "temperature": 0, "seed": 1}

    async def _open(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> aiohttp.ClientResponse:
        """A response of status 200; waits and tries again while the gateway is full."""
        if self._session is None:
            raise RuntimeError("use `async with Client(...)`")
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                response = await self._session.request(method, self.base_url + path, json=body)
            except (aiohttp.ClientError, TimeoutError) as error:
                absent = isinstance(error, aiohttp.ClientConnectorError)
                if attempt == MAX_ATTEMPTS or (absent and not self._reached):
                    raise _unreachable(self.base_url, error) from error
                await asyncio.sleep(_pause(attempt, ""))  # it was there a moment ago: it is being started again
                continue
            self._reached = True
            if response.status == 200:
                return response
            if response.status not in BUSY or attempt == MAX_ATTEMPTS:
                raise await _refused(response)
            pause = _pause(attempt, response.headers.get("Retry-After", ""))
            response.release()
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")


def estimate(text: str) -> int:
    """Tokens of `text`, rather too many than too few."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def _pause(attempt: int, retry_after: str) -> float:
    """Seconds to wait: what the server asks for, else 0.5, 1, 2, … ."""
    asked = float(retry_after) if retry_after.replace(".", "", 1).isdigit() else 0.25 * 2**attempt
    return min(asked, MAX_PAUSE_S)


def _reply(document: Mapping[str, Any]) -> Reply:
    choice = document["choices"][0]
    usage = document.get("usage") or {}
    return Reply(
        text=choice["message"].get("content") or "",
        finish=choice.get("finish_reason") or "stop",
        prompt_tokens=usage.get("prompt_tokens", 0),
        output_tokens=usage.get("completion_tokens", 0),
        first=_first(choice.get("logprobs")),
    )


def _first(logprobs: Mapping[str, Any] | None) -> dict[str, float]:
    tokens = (logprobs or {}).get("content") or ()
    return {t["token"]: float(t["logprob"]) for t in (tokens[0].get("top_logprobs") or ())} if tokens else {}


def _said(document: object) -> str:
    """The message inside an OpenAI-style error body."""
    error = document.get("error") if isinstance(document, Mapping) else None
    return str(error.get("message", "")) if isinstance(error, Mapping) else str(error or "")


def _unreachable(url: str, error: Exception) -> EkeError:
    if isinstance(error, aiohttp.ClientConnectorError):
        remedy = "start it with `eke up`, or say where it is with --base-url"
        return EkeError(f"nothing listens at {url}", why=error.os_error.strerror or str(error.os_error), remedy=remedy)
    return EkeError(f"{url} broke off", why=str(error) or type(error).__name__, remedy="`eke status`, then try again")


async def _refused(response: aiohttp.ClientResponse) -> EkeError:
    """What a status other than 200 means to the person who asked."""
    try:
        message = _said(await response.json(content_type=None))
    except ValueError:
        message = ""
    finally:
        response.release()
    why = message or f"status {response.status}"
    if response.status == 400 and "context" in why.lower():
        return ContextTooLong("the prompt is longer than the model's context", why=why)
    if response.status == 404:
        return InputError(
            f"{response.url.origin()} does not serve that", why=why, remedy="`--model` with one of its models"
        )
    if response.status in BUSY:
        return EkeError(f"{response.url.origin()} is full or not ready", why=why, remedy="`eke status`, then try again")
    return EkeError(f"{response.url.origin()} refused the request", why=why)
