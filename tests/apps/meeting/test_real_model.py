"""The example meeting with the real small model: useful, and honest about what it is."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from eke.apps.client import Client
from eke.apps.meeting import minutes, show
from eke.apps.meeting.transcript import read

EXAMPLE = Path(__file__).parents[3] / "examples" / "meeting.vtt"
NAME = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
START_S = 60
# what was promised, by the turn it was promised in, with who; what was decided, by turn
PROMISED = {6: "Chen", 13: "Ben", 23: "Chen", 24: "Ann", 33: "Dana", 38: "Ann"}
DECIDED = {10, 22, 32, 36}


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """The embedded engine on one core."""
    pytest.importorskip("xllamacpp")
    weights = Path(os.environ.get("EKE_MODELS") or Path.home() / ".eke" / "models") / NAME
    if not weights.exists():
        pytest.skip("the embedded model is not here; `eke models fetch embedded` brings it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (
        "--model",
        weights,
        "--alias",
        "embedded",
        "--port",
        port,
        "--threads",
        1,
        "--parallel",
        1,
        "--context",
        4096,
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "eke.runtime.engines.llamacpp", *map(str, options)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        ready(url)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def ready(url: str) -> None:
    """Wait until it answers."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health") as response:
            if response.status == 200:
                return
        time.sleep(0.3)
    pytest.fail("the engine did not start")


@pytest.mark.e2e
@pytest.mark.slow
async def test_example_meeting(engine: str) -> None:
    """All promises are found with their owners, most decisions, and every date is one that was said."""
    async with Client(engine, app="test") as client:
        found = await minutes.write(client, read(EXAMPLE))
    document = show.document(found)
    actions = {a["turns"][-1]: a for a in document["actions"]}
    found_promises = PROMISED.keys() & actions.keys()
    assert len(found_promises) >= 5
    assert all(actions[t]["owner"] == PROMISED[t] for t in found_promises)
    assert len(DECIDED & {d["turns"][-1] for d in document["decisions"]}) >= 3
    assert {a["due"] for a in document["actions"]} <= {
        "Wednesday",
        "Sunday morning",
        "tomorrow",
        "Friday",
        "Thursday",
        None,
    }
    assert len(document["decisions"]) + len(document["actions"]) <= 16
    assert document["summary"]
