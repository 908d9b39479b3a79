"""The applications' one door to the gateway."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp import web

from eke.apps import client as clients
from eke.apps.client import Client, ContextTooLong, estimate
from eke.errors import EkeError, InputError

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted, not waited."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(clients.asyncio, "sleep", sleep)
    return waited


async def test_nobody_listens() -> None:
    """Where nothing listens the error says so, and how to start it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with Client(url, app="test") as client:
            with pytest.raises(EkeError, match="nothing listens") as caught:
                await client.chat(HELLO)
    assert "eke up" in caught.value.remedy


async def test_says_who_it_is(served: Any) -> None:
    """Every request names its application and asks for the likeliest answer."""
    async with Client(served.url + "/v1/", app="meeting") as client:
        assert (await client.chat(HELLO)).text == "other"
    assert served.headers[0]["X-Eke-App"] == "meeting"
    assert (served.asked[0]["temperature"], served.asked[0]["seed"], served.asked[0]["model"]) == (0, 1, "small")


async def test_waits_as_long_as_asked(served: Any, no_pause: list[float]) -> None:
    """A full gateway is asked again after the seconds it names."""
    answers = [
        web.json_response({"error": {"message": "full"}}, status=s, headers={"Retry-After": "3"}) for s in (503, 429)
    ]
    served.answer = lambda _body: answers.pop(0) if answers else "at last"
    async with Client(served.url, app="test") as client:
        assert (await client.chat(HELLO)).text == "at last"
    assert no_pause == [3.0, 3.0]


async def test_gives_up(served: Any, no_pause: list[float]) -> None:
    """A gateway that stays full is an error with its own words, after a bounded number of tries."""
    served.answer = lambda _body: web.json_response({"error": {"message": "no seat"}}, status=503)
    async with Client(served.url, app="test") as client:
        with pytest.raises(EkeError, match="full") as caught:
            await client.chat(HELLO)
    assert caught.value.why == "no seat"
    assert len(served.asked) == clients.MAX_ATTEMPTS


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "request exceeds the available context size", ContextTooLong),
        (404, "no model is called x", InputError),
        (400, "temperature is no number", EkeError),
    ],
)
async def test_refusals(served: Any, status: int, message: str, kind: type[EkeError]) -> None:
    """A refusal carries the gateway's own words and is not tried again."""
    served.answer = lambda _body: web.json_response({"error": {"message": message}}, status=status)
    async with Client(served.url, app="test") as client:
        with pytest.raises(kind) as caught:
            await client.chat(HELLO)
    assert caught.value.why == message
    assert len(served.asked) == 1


async def test_streams(served: Any) -> None:
    """A stream comes in pieces that make up the answer."""
    served.answer = lambda _body: "one two three"
    async with Client(served.url, app="test") as client:
        pieces = [piece async for piece in client.stream(HELLO)]
    assert pieces == ["one ", "two ", "three "]


async def test_counts_by_the_engine_if_it_can(served: Any) -> None:
    """Tokens are counted by the engine where it offers that, and estimated too high where not."""
    async with Client(served.url, app="test") as client:
        assert await client.count("a b c") == estimate("a b c") == 2
    served.tokenizes = True
    async with Client(served.url, app="test") as client:
        assert await client.count("a b c") == 3


async def test_knows_the_context(served: Any) -> None:
    """The context is what the server says of the model that is asked."""
    served.context = 2048
    async with Client(served.url, app="test") as client:
        assert await client.context() == 2048
