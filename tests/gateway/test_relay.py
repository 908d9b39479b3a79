"""Requests wait their turn, survive the death of an engine, and are refused with reason when they must be."""

from __future__ import annotations

import asyncio

import aiohttp
import openai
import pytest

SAY = [{"role": "user", "content": "say it"}]


def ask(client, stream=False):
    return asyncio.ensure_future(client.chat.completions.create(model="m", messages=SAY, stream=stream))


async def test_never_more_than_its_slots(engines, runs):
    """An engine never sees more requests at once than it has slots; the rest wait and are served."""
    a, b = await engines("a", delay_s=0.01), await engines("b", delay_s=0.01)
    run = await runs(a, b, slots=3)
    async with run.client() as client:
        await asyncio.gather(*(ask(client) for _ in range(40)))
    assert a.most == b.most == 3
    assert len(a.requests) + len(b.requests) == 40


async def test_the_emptier_engine_is_chosen(engines, runs, wait_until):
    """With one engine busy, requests go to the other."""
    a, b = await engines("a", gate=asyncio.Event()), await engines("b", gate=asyncio.Event())
    run = await runs(a, b, slots=8)
    async with run.client() as client:
        asked = [ask(client) for _ in range(8)]
        await wait_until(lambda: a.now + b.now == 8)
        assert a.now == b.now == 4
        a.gate.set()
        b.gate.set()
        await asyncio.gather(*asked)


async def test_workload_names_reach_only_their_engines(engines, runs):
    """A workload's name is served by its own engines, the model's name by all."""
    a, b = await engines("a"), await engines("b")
    run = await runs(a, b)
    async with run.client() as client:
        for _ in range(4):
            await client.chat.completions.create(model="b", messages=SAY)
    assert (len(a.requests), len(b.requests)) == (0, 4)


async def test_full_queue(engines, runs, wait_until):
    """Beyond the queue's bound requests are RateLimitError at once, with Retry-After; those inside are served."""
    fake = await engines(gate=asyncio.Event())
    run = await runs(fake, slots=1, queue=2)
    async with run.client() as client:
        asked = [ask(client) for _ in range(3)]
        await wait_until(lambda: fake.now == 1 and run.state.pressure().waiting == 2)
        with pytest.raises(openai.RateLimitError, match="2 requests already wait") as caught:
            await ask(client)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        fake.gate.set()
        await asyncio.gather(*asked)
        await wait_until(lambda: run.state.pressure().waiting == 0)
    assert sorted(r.status for r in await run.settled(4)) == ["failed", "ok", "ok", "ok"]


async def test_waiting_too_long(engines, runs):
    """A request that finds no slot in time is told so, with Retry-After."""
    fake = await engines(gate=asyncio.Event())
    run = await runs(fake, slots=1, wait_s=0.2)
    async with run.client() as client:
        first = ask(client)
        with pytest.raises(openai.InternalServerError, match="all engines are busy") as caught:
            await ask(client)
        assert caught.value.status_code == 503
        assert "retry-after" in caught.value.response.headers
        fake.gate.set()
        await first


async def test_waits_for_a_restarting_engine(engines, runs):
    """While no engine is ready requests wait, and are served when one comes, even on another port."""
    fake = await engines()
    run = await runs(fake)
    run.ready()
    await asyncio.sleep(0.1)
    async with run.client() as client:
        asked = ask(client)
        await asyncio.sleep(0.1)
        assert not asked.done()
        await fake.stop()
        await fake.start()
        run.ready(fake)
        assert (await asked).choices
    assert [r.status for r in await run.settled()] == ["ok"]


async def test_no_engine_comes(engines, runs):
    """When none comes in time, the answer says that none is ready."""
    fake = await engines()
    run = await runs(fake, wait_s=0.2)
    run.ready()
    await asyncio.sleep(0.1)
    async with run.client() as client:
        with pytest.raises(openai.InternalServerError, match="no engine is ready"):
            await ask(client)


@pytest.mark.parametrize("stream", [True, False])
async def test_death_before_the_first_byte_is_retried(engines, runs, stream):
    """An engine that dies before the first byte costs the client only time: another one serves it."""
    good, bad = await engines("good"), await engines("bad", die_after=-1)
    run = await runs(good, bad)
    async with run.client() as client:
        for _ in range(6):
            answer = await ask(client, stream)
            if stream:
                assert [c async for c in answer]
    rows = await run.settled(6)
    assert [(r.status, r.task, r.output_tokens) for r in rows] == [("ok", "good", 5)] * 6
    assert bad.requests


async def test_death_after_progress_is_retried(engines, runs):
    """Events about reading the prompt are not for the client: dying after them is dying before the first byte."""
    good, bad = await engines("good"), await engines("bad", die_after=0)
    run = await runs(good, bad)
    async with run.client() as client:
        for _ in range(4):
            assert [c async for c in await ask(client, stream=True)]
    assert [r.status for r in await run.settled(4)] == ["ok"] * 4
    assert bad.requests


async def test_a_killed_engine_that_comes_back(engines, runs):
    """Requests before a vanished engine that the state still calls ready wait until it is back."""
    fake = await engines()
    run = await runs(fake)
    await fake.stop()
    async with run.client() as client:
        asked = [ask(client) for _ in range(3)]
        await asyncio.sleep(0.2)
        await fake.start(fake.port)
        await asyncio.gather(*asked)
    assert [r.status for r in await run.settled(3)] == ["ok"] * 3


async def test_a_request_that_kills_engines_is_given_up(engines, runs):
    """A request that several engines died of is refused instead of killing more."""
    fake = await engines(die_after=-1)
    run = await runs(fake, attempts=3)
    async with run.client() as client:
        with pytest.raises(openai.InternalServerError, match="3 engines in a row") as caught:
            await ask(client)
    assert caught.value.status_code == 502
    assert len(fake.requests) == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_silence(engines, runs, stream):
    """An engine that says nothing for too long is given up with 504."""
    run = await runs(await engines(gate=asyncio.Event()), silence_s=0.1)
    async with run.client() as client:
        with pytest.raises(openai.InternalServerError, match="said nothing") as caught:
            await ask(client, stream)
    assert caught.value.status_code == 504


async def test_a_waiting_guest_that_leaves(engines, runs, wait_until):
    """A client that hangs up in the queue frees its place and never reaches an engine."""
    fake = await engines(gate=asyncio.Event())
    run = await runs(fake, slots=1)
    async with run.client() as client:
        first = ask(client)
        await wait_until(lambda: fake.now == 1)
        second = ask(client)
        await wait_until(lambda: run.state.pressure().waiting == 1)
        second.cancel()
        await wait_until(lambda: run.state.pressure().waiting == 0)
        fake.gate.set()
        await first
    assert [r.status for r in await run.settled(2)] == ["ok", "cancelled"]
    assert len(fake.requests) == 1


async def test_only_whats_needed_goes_upstream(engines, runs):
    """The client's key, cookies and hop-by-hop headers stay here; the request id travels."""
    fake = await engines()
    run = await runs(fake)
    headers = {"authorization": "Bearer secret", "cookie": "a=b", "te": "trailers", "x-forwarded-for": "10.0.0.1"}
    async with aiohttp.ClientSession() as http:
        body = {"model": "m", "messages": SAY}
        async with http.post(f"{run.url}/v1/chat/completions", json=body, headers=headers) as answer:
            request_id = answer.headers["x-request-id"]
            assert "connection" not in answer.headers
    ours = {"host", "accept", "accept-encoding", "user-agent", "content-type", "content-length", "x-request-id"}
    assert fake.headers[0].keys() <= ours
    assert fake.headers[0]["x-request-id"] == request_id
    assert [r.id for r in await run.settled()] == [request_id]


async def test_slow_readers_do_not_fill_memory(engines, runs):
    """A client that does not read holds the engine back, instead of its answer piling up here."""
    fake = await engines(tokens=100_000, padding="x" * 10_000)
    run = await runs(fake)
    async with aiohttp.ClientSession() as http:
        body = {"model": "m", "messages": SAY, "stream": True}
        async with http.post(f"{run.url}/v1/chat/completions", json=body) as answer:
            await answer.content.readany()
            held, now = -1, 0
            while now != held:
                await asyncio.sleep(0.5)
                held, now = now, run.rows()[0].output_tokens
            assert 0 < held < 50_000
