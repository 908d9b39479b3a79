"""Every request is in the ledger exactly once, with its tokens, however it ends."""

from __future__ import annotations

import asyncio
import time

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eke.gateway.limits import Limits
from eke.gateway.meter import Meter
from eke.gateway.metrics import Metrics
from eke.runtime.ledger import Request

SAY = [{"role": "user", "content": "say it"}]


@pytest.mark.parametrize("dialect", ["llamacpp", "vllm", "other"])
@pytest.mark.parametrize("stream", [True, False])
async def test_whole_requests(engines, runs, dialect, stream):
    """Prompt, cached and output tokens, app, model, task and times are recorded whatever the engine's dialect."""
    run = await runs(await engines("a", dialect, tokens=5))
    began = time.time()
    async with run.client(**{"X-Eke-App": "minutes"}) as client:
        answer = await client.chat.completions.create(model="a", messages=SAY, stream=stream)
        if stream:
            assert [c async for c in answer]
    (row,) = await run.settled()
    assert (row.prompt_tokens, row.cached_tokens, row.output_tokens) == (7, 3, 5)
    assert (row.status, row.app, row.model, row.task) == ("ok", "minutes", "m", "a")
    assert began - 1 <= row.at <= time.time()
    assert row.seconds > 0
    assert (row.ttft_s is not None) == stream


@pytest.mark.parametrize(("dialect", "prompt"), [("llamacpp", 7), ("vllm", 7), ("other", 0)])
async def test_hang_up_mid_stream(engines, runs, wait_until, dialect, prompt):
    """A client that hangs up mid-stream pays what was produced until then, and the engine is told to stop."""
    fake = await engines("a", dialect, tokens=10_000, delay_s=0.005)
    run = await runs(fake)
    async with run.client() as client:
        stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == 10:
                break
        await stream.close()
    (row,) = await run.settled()
    await wait_until(lambda: fake.hang_ups == 1 and fake.now == 0)
    assert row.status == "cancelled"
    assert row.prompt_tokens == prompt
    assert seen <= row.output_tokens < 1000


async def test_hang_up_before_the_first_token(engines, runs, wait_until):
    """A client that leaves while the engine is still silent cancels it at once."""
    fake = await engines(gate=asyncio.Event())
    run = await runs(fake)
    async with run.client() as client:
        asking = asyncio.create_task(client.chat.completions.create(model="m", messages=SAY))
        await wait_until(lambda: fake.now == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await wait_until(lambda: fake.hang_ups == 1)
    (row,) = await run.settled()
    assert (row.status, row.output_tokens) == ("cancelled", 0)


async def test_engine_death_mid_stream(engines, runs):
    """Tokens delivered before an engine died are recorded, the request as failed."""
    run = await runs(await engines(tokens=9, die_after=3))
    async with run.client() as client:
        with pytest.raises(openai.APIError):
            assert [c async for c in await client.chat.completions.create(model="m", messages=SAY, stream=True)]
    (row,) = await run.settled()
    assert (row.status, row.prompt_tokens, row.output_tokens) == ("failed", 7, 3)


async def test_running_streams_are_written(engines, runs, wait_until):
    """A long stream is in the ledger while it runs, with its tokens so far; then once, closed."""
    fake = await engines(tokens=100_000, delay_s=0.002)
    run = await runs(fake)
    async with run.client() as client:
        stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
        async for _ in stream:
            if any(r.status == "running" and r.output_tokens > 5 for r in run.rows()):
                break
        await stream.close()
    (row,) = await run.settled()
    assert row.status == "cancelled"


async def test_orphans_are_closed_at_the_start(engines, runs, tmp_path):
    """What a killed gateway left running is closed with the tokens it had."""
    from eke.runtime.ledger import Ledger

    left = Ledger(tmp_path / "run")
    left.record([Request("req-old", time.time() - 9, "", "m", "a", 7, 0, 42)])
    left.close()
    run = await runs(await engines())
    (row,) = run.rows()
    assert (row.status, row.output_tokens) == ("failed", 42)


async def test_many_at_once_are_all_counted(engines, runs):
    """A hundred mixed requests leave a hundred rows and the exact sum of tokens."""
    run = await runs(await engines("a", tokens=3), await engines("b", tokens=3), slots=5)
    async with run.client() as client:

        async def ask(i):
            answer = await client.chat.completions.create(model="m", messages=SAY, stream=bool(i % 2))
            if i % 2:
                assert [c async for c in answer]

        await asyncio.gather(*(ask(i) for i in range(100)))
    rows = await run.settled(100)
    assert len(rows) == len({r.id for r in rows}) == 100
    assert sum(r.output_tokens for r in rows) == 300
    assert {r.task for r in rows} == {"a", "b"}


async def test_metrics(engines, runs):
    """Prometheus sees requests by how they ended, tokens by kind, and times of streams."""
    import aiohttp

    run = await runs(await engines(tokens=5))
    async with run.client() as client:
        assert [c async for c in await client.chat.completions.create(model="m", messages=SAY, stream=True)]
    await run.settled()
    async with aiohttp.ClientSession() as http, http.get(f"{run.url}/metrics") as page:
        text = await page.text()
    found = {
        (s.name, s.labels.get("status") or s.labels.get("kind")): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert found["eke_requests_total", "ok"] == 1
    assert [found["eke_tokens_total", k] for k in ("prompt", "cached", "output")] == [7, 3, 5]
    assert found["eke_ttft_seconds_count", None] == found["eke_tpot_seconds_count", None] == 1
    assert found["eke_requests_in_flight", None] == found["eke_requests_waiting", None] == 0


class Unwilling:
    """A ledger that fails some times first."""

    def __init__(self, failures: int) -> None:
        self.failures, self.rows = failures, {}

    def record(self, requests) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("disk full")
        self.rows |= {r.id: r for r in requests}


def test_a_failing_ledger_loses_nothing(monkeypatch):
    """Rows are kept while the ledger cannot be written; the newest of each request is written then."""
    monkeypatch.setattr("eke.gateway.meter.RETRY_S", 0.01)
    meter = Meter(Metrics(lambda: 0, lambda: 0), Limits(flush_s=0.001))
    ledger = Unwilling(failures=3)
    meter.start(ledger)
    entries = [meter.open("app", "m") for _ in range(20)]
    for entry in entries:
        meter.close(entry, "ok")
    meter.stop()
    assert [ledger.rows[e.id].status for e in entries] == ["ok"] * 20


def test_a_request_ends_once():
    """A second end does not change the first."""
    meter = Meter(Metrics(lambda: 0, lambda: 0), Limits())
    ledger = Unwilling(failures=0)
    entry = meter.open("app", "m")
    meter.close(entry, "ok")
    meter.close(entry, "failed")
    meter.start(ledger)
    meter.stop()
    assert ledger.rows[entry.id].status == "ok"
