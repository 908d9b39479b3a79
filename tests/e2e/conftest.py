"""The real thing: this machine planned, a real model served, a real one trained, by the command users run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from openai import OpenAI

from eke import home
from eke.models import weights

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "examples" / "this-machine.yaml"
PATIENCE_S = 240.0
T = TypeVar("T")


def until(what: str, look: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """What `look` finds, as soon as it finds something; fails with `what` if it never does."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"never seen: {what}"
        time.sleep(0.2)
    return found


@dataclass
class Up:
    """A running `eke up`."""

    process: subprocess.Popen[bytes]
    port: int
    env: dict[str, str]
    log: Path

    def eke(self, *words: str) -> Any:
        """What `eke … -o json` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "eke", *words, "-o", "json"],
            env=self.env,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    def task(self, name: str) -> dict[str, Any]:
        """One task of `eke status`."""
        return next(t for t in self.eke("status")["tasks"] if t["name"] == name)

    def ready(self, name: str, *, not_pid: int | None = None) -> int:
        """The pid of a task once it is ready (again, as another process)."""

        def look() -> int | None:
            task = self.task(name)
            return task["pid"] if task["status"] == "ready" and task["pid"] != not_pid else None

        return until(f"{name} ready", look)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.env["EKE_HOME"]) / "run" / "this-machine"

    @property
    def client(self) -> OpenAI:
        """The official client, as users make it."""
        return OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0, timeout=PATIENCE_S)

    def usage(self) -> tuple[int, int]:
        """Prompt and output tokens metered so far, nothing running any more."""
        until("all requests accounted for", lambda: self.eke("status")["requests"]["running"] == 0)
        total = self.eke("status")["requests"]
        return total["prompt_tokens"], total["output_tokens"]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`eke up` on this machine, ready; interrupted at the end, and nothing of it left."""
    if weights.path("embedded") is None:
        pytest.skip("the embedded model is not here: eke models fetch embedded")
    place = tmp_path_factory.mktemp("up")
    env = os.environ | {"EKE_HOME": str(place / "home"), "EKE_MODELS": str(home.models()), "COLUMNS": "160"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "eke", "up", str(SCENARIO), "--best-effort", "--port", str(port)]
    with (place / "log").open("wb") as out:
        process = subprocess.Popen(argv, env=env, stdout=out, stderr=out, start_new_session=True)
    it = Up(process, port, env, place / "log")
    try:
        until("running", lambda: "running" in it.log.read_text() or process.poll() is not None)
        assert process.poll() is None, it.log.read_text()
        yield it
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(PATIENCE_S) == 0, it.log.read_text()
        finally:
            subprocess.run([sys.executable, "-m", "eke", "down", "--now"], env=env, check=False, capture_output=True)
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(place) in " ".join(p.info["cmdline"] or [])]
