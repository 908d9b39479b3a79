"""The official client works unmodified."""

from __future__ import annotations

import openai
import pytest

SAY = [{"role": "user", "content": "say it"}]


async def collect(stream, said):
    async for chunk in stream:
        said.append(chunk.choices[0].delta.content)


async def test_streams(engines, runs):
    """A stream brings its deltas, says the real model, and nothing the client did not ask for."""
    fake = await engines("assistant", tokens=4)
    run = await runs(fake, model="Real-1B")
    async with run.client() as client:
        chunks = [c async for c in await client.chat.completions.create(model="assistant", messages=SAY, stream=True)]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "w0 w1 w2 w3 "
    assert {c.model for c in chunks} == {"Real-1B"}
    assert all(c.choices and c.usage is None and not c.model_extra for c in chunks)
    assert fake.requests[0]["model"] == "Real-1B"


async def test_streams_usage_when_asked(engines, runs):
    """`include_usage` brings exactly one usage event, the last."""
    run = await runs(await engines(tokens=4))
    async with run.client() as client:
        stream = await client.chat.completions.create(
            model="m", messages=SAY, stream=True, stream_options={"include_usage": True}
        )
        chunks = [c async for c in stream]
    assert [c.usage is not None for c in chunks] == [False] * 5 + [True]
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (7, 4)


async def test_answers_whole(engines, runs):
    """Without streaming the answer comes whole, with its usage and a request id."""
    run = await runs(await engines(tokens=3))
    async with run.client() as client:
        answer = await client.chat.completions.create(model="m", messages=SAY)
    assert answer.choices[0].message.content == "w0 w1 w2 "
    assert answer.usage.total_tokens == 10
    assert answer._request_id == run.rows()[0].id if run.rows() else answer._request_id.startswith("req-")


async def test_completes_prompts(engines, runs):
    """The old completions route works, streaming and not."""
    run = await runs(await engines(tokens=2))
    async with run.client() as client:
        whole = await client.completions.create(model="m", prompt="once")
        parts = [
            c.choices[0].text async for c in await client.completions.create(model="m", prompt="once", stream=True)
        ]
    assert whole.choices[0].text == "".join(parts) == "w0 w1 "


async def test_lists_models(engines, runs):
    """Models and workloads are listed, models first, and can be asked for one by one."""
    run = await runs(await engines("assistant"), model="org/Real-1B")
    async with run.client() as client:
        listed = [m.id async for m in client.models.list()]
        one = await client.models.retrieve("assistant")
        other = await client.models.retrieve("org/Real-1B")
    assert listed == ["org/Real-1B", "assistant"]
    assert (one.id, one.root, one.ready, other.id) == ("assistant", "org/Real-1B", True, "org/Real-1B")


async def test_unknown_model_is_not_found(engines, runs):
    """An unknown model is NotFoundError, and the known ones are named."""
    run = await runs(await engines("assistant"))
    async with run.client() as client:
        with pytest.raises(openai.NotFoundError, match="there are: m, assistant") as caught:
            await client.chat.completions.create(model="gpt-4", messages=SAY)
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-4")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_bad_request(engines, runs):
    """What cannot be understood is BadRequestError and names the field; the engine never sees it."""
    fake = await engines()
    run = await runs(fake)
    async with run.client() as client:
        with pytest.raises(openai.BadRequestError, match="messages") as caught:
            await client.chat.completions.create(model="m", messages=[])
    assert caught.value.param == "messages"
    assert fake.requests == []


async def test_engine_refusal_is_passed_on(engines, runs):
    """The engine's own refusal keeps its status and words; its server errors become 502."""
    fake = await engines(status=400, error="the request exceeds the context")
    run = await runs(fake)
    async with run.client() as client:
        with pytest.raises(openai.BadRequestError, match="exceeds the context"):
            await client.chat.completions.create(model="m", messages=SAY, stream=True)
        fake.status = 500
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="m", messages=SAY)
    assert caught.value.status_code == 502
    assert [r.status for r in await run.settled(2)] == ["failed", "failed"]


async def test_embeddings_where_not_offered(engines, runs):
    """An engine without embeddings is NotFoundError, not a server fault."""
    run = await runs(await engines(status=501, error="start it with --embeddings"))
    async with run.client() as client:
        with pytest.raises(openai.NotFoundError, match="does not offer /v1/embeddings"):
            await client.embeddings.create(model="m", input="text")


async def test_death_mid_stream_is_an_api_error(engines, runs):
    """A stream whose engine dies ends with an error the client raises, after the text that came."""
    run = await runs(await engines(tokens=9, die_after=3))
    said = []
    async with run.client() as client:
        stream = await client.chat.completions.create(model="m", messages=SAY, stream=True)
        with pytest.raises(openai.APIError, match="middle of the answer"):
            await collect(stream, said)
    assert said == ["w0 ", "w1 ", "w2 "]
