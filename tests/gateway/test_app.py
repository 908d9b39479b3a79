"""The face of the gateway: its routes, its error shape, and the room beside it."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from eke.gateway.app import build
from eke.gateway.ask import OPTIONAL, REQUIRED

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def call(run, method, path, **more):
    async with aiohttp.ClientSession() as http, http.request(method, run.url + path, **more) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_health_and_readiness(engines, runs, wait_until):
    """Alive from the start; ready while an engine is, and else it says why not."""
    fake = await engines()
    run = await runs(fake)
    assert (await call(run, "GET", "/healthz"))[0] == 200
    status, _, body = await call(run, "GET", "/readyz")
    assert (status, json.loads(body)["ready"]) == (200, ["m"])
    run.ready()
    for _ in range(200):
        status, _, body = await call(run, "GET", "/readyz")
        if status == 503:
            break
        await asyncio.sleep(0.01)
    assert (status, json.loads(body)["reason"]) == (503, "no engine is ready yet")


async def test_a_run_without_engines(runs):
    """Where nothing is served, requests and readiness say so."""
    run = await runs()
    status, headers, body = await call(run, "POST", "/v1/chat/completions", json=BODY)
    assert (status, json.loads(body)["error"]["code"]) == (503, "nothing_served")
    assert "retry-after" in headers
    assert (await call(run, "GET", "/readyz"))[0] == 503
    assert json.loads((await call(run, "GET", "/v1/models"))[2]) == {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/audio/speech", 404, "unknown_path"),
        ("GET", "/v1/", 404, "unknown_path"),
        ("GET", "/elsewhere", 404, "unknown_path"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
    ],
)
async def test_errors_have_openais_shape(engines, runs, method, path, status, code):
    """Wrong paths and methods answer in OpenAI's error shape."""
    run = await runs(await engines())
    found, _, body = await call(run, method, path)
    error = json.loads(body)["error"]
    assert (found, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("size", [2000, 200_000])
async def test_too_large(engines, runs, size):
    """A body over the limit is 413, whether a little or far over it, with or without a declared length."""
    fake = await engines()
    run = await runs(fake, body_bytes=1000)

    async def pieces():
        yield b"x" * size

    for data in (b"x" * size, pieces()):
        status, _, body = await call(run, "POST", "/v1/chat/completions", data=data)
        assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
    assert fake.requests == []


async def test_head(engines, runs):
    """HEAD is answered where GET is."""
    run = await runs(await engines())
    assert (await call(run, "HEAD", "/readyz"))[0] == 200


async def test_the_rest_goes_to_the_fallback(engines, runs):
    """Other paths belong to the application beside, which begins after the gateway and ends before it."""
    events = []

    async def life(app):
        events.append("begin")
        yield
        events.append("end")

    from contextlib import asynccontextmanager

    beside = Starlette(
        routes=[Route("/", lambda _: PlainTextResponse("console")), Route("/v1/x", lambda _: PlainTextResponse("no"))],
        lifespan=asynccontextmanager(life),
    )
    run = await runs(await engines(), fallback=beside)
    assert (await call(run, "GET", "/"))[2] == b"console"
    assert (await call(run, "GET", "/v1/x"))[0] == 404
    assert events == ["begin"]


async def test_a_broken_run_folder_is_said(tmp_path):
    """A gateway that cannot open its run tells the server why instead of serving."""
    (tmp_path / "file").write_text("")
    sent = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    await build(tmp_path / "file" / "run")({"type": "lifespan"}, receive, send)
    assert [m["type"] for m in sent] == ["lifespan.startup.failed"]
    assert sent[0]["message"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.binary(max_size=50) | st.dictionaries(
    st.sampled_from(["model", "messages", "prompt", "input", "extra", *OPTIONAL]), JSON, max_size=5
).map(lambda fields: json.dumps(BODY | {"prompt": "p", "input": "i"} | fields).encode())


async def test_no_body_makes_it_fail(engines, runs):
    """Any body on any route is served or refused, never a fault of the gateway."""
    run = await runs(await engines(tokens=1))
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:

        async def status(path, body):
            async with http.post(run.url + path, data=body) as answer:
                await answer.read()
                return answer.status

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(list(REQUIRED)), BODIES)
        def bodies(path, body):
            found = asyncio.run_coroutine_threadsafe(status(path, body), loop).result(30)
            assert found in (200, 400, 404)

        await asyncio.to_thread(bodies)
    rows = await run.settled(0)
    assert all(r.status == "ok" for r in rows)
