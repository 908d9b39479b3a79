"""Status and usage: one document that tells what runs, also when nothing does."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import typer
from tests.runtime.conftest import Live, python, until
from typer.testing import CliRunner

from eke import home
from eke.cli.down import down
from eke.cli.status import status as status_verb
from eke.cli.usage import usage
from eke.runtime import status
from eke.runtime.base import Task
from eke.runtime.ledger import Ledger, Request
from eke.runtime.state import Process, State


def cli(verb: object) -> typer.Typer:
    """One verb as an application of its own."""
    app = typer.Typer()
    app.command()(verb)  # type: ignore[type-var]
    return app


def invoke(verb: object, *words: str) -> str:
    result = CliRunner().invoke(cli(verb), words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_run_that_never_was_is_stopped(tmp_path: Path) -> None:
    """Without a database there is a document with no tasks, and none is made."""
    document = status.read(tmp_path / "never")
    assert (document["format"], document["state"], document["tasks"]) == ("eke.status/1", "stopped", [])
    assert not (tmp_path / "never").exists()


def test_it_tells_what_runs(live: Live) -> None:
    """A live run shows its processes, their cores and consumption, requests and why one failed."""
    live.control(
        Task("eng", "engine", python("x", "import time; time.sleep(600)").argv, port=0, labels={"model": "m"}),
        python("bad", "import sys; sys.exit('no luck')"),
    )
    live.becomes("eng", "ready")
    live.becomes("bad", "backoff")
    ledger = Ledger(live.folder)
    ledger.record([Request("a", 1.0, "app", "m", "eng", 10, 0, 4, "ok"), Request("b", 2.0, "app", "m", "eng")])
    ledger.close()
    document = status.read(live.folder)
    rows = {row["name"]: row for row in document["tasks"]}
    assert document["state"] == "degraded"
    assert document["controller"]["alive"]
    assert rows["eng"]["rss_bytes"] > 1e6
    assert rows["bad"]["error"].endswith("no luck")
    assert [e["model"] for e in document["endpoints"]] == ["m"]
    assert (document["requests"]["requests"], document["requests"]["running"]) == (2, 1)
    assert document["requests"]["last_minute"]["requests"] == 0
    assert json.loads(json.dumps(document)) == document


def test_a_dead_controller_shows(live: Live) -> None:
    """A run whose controller is dead is degraded; a process that died since is lost, not ready."""
    controller = live.control(python("t", "import time; time.sleep(600)"))
    process = live.becomes("t", "ready")
    controller.kill()
    controller.wait()
    assert status.read(live.folder)["state"] == "degraded"
    assert process.handle is not None
    live.fabric.kill(process.handle)
    until(lambda: status.read(live.folder)["tasks"][0]["status"] == "lost")
    assert status.read(live.folder)["state"] == "stopped"


def test_the_verbs_print_what_scripts_read() -> None:
    """`eke status` and `eke usage` give their versioned documents, rows as CSV, and a table for people."""
    folder = home.run("this-machine")
    state = State(folder)
    state.set_tasks([Task("assistant-0", "engine", ("x",), cpus=(0, 1))])
    state.set_processes([Process("assistant-0", "backoff", error="no luck")])
    state.close()
    ledger = Ledger(folder)
    ledger.record([Request(str(i), 86400.0 * i, "app", "m", "t", 10, 2, 4, "ok", 0.1, 1.5) for i in range(2)])
    ledger.close()
    assert json.loads(invoke(status_verb, "-o", "json"))["tasks"][0]["error"] == "no luck"
    assert next(csv.DictReader(io.StringIO(invoke(status_verb, "-o", "csv"))))["cpus"] == "0 1"
    assert "no luck" in invoke(status_verb)
    document = json.loads(invoke(usage, "this-machine", "-o", "json"))
    assert document["format"] == "eke.usage/1"
    assert [row["day"] for row in document["usage"]] == ["1970-01-01", "1970-01-02"]
    assert document["usage"][0]["cached_tokens"] == 2
    assert json.loads(invoke(usage, "--by", "app", "-o", "json"))["usage"][0]["output_tokens"] == 8
    assert json.loads(invoke(usage, "--since", "1 h", "-o", "json"))["usage"] == []
    assert "1970-01-02" in invoke(usage)
    assert "nothing was running" in CliRunner().invoke(cli(down), []).output
