"""Pages, their parts and the same as JSON, asked for over HTTP."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from eke import units
from eke.console import app

PAGES = ["/" + name for name in app.PAGES]
PARTS = [f"/parts/{name}" for name in app.LIVE]
Get = Callable[[str], tuple[int, str]]


@contextmanager
def serving(folder: Path) -> Iterator[Get]:
    """The console of a folder on a free port; gives a function that fetches a path."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app.build(folder), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def get(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(origin + path) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        try:
            yield get
        finally:
            server.should_exit = True
            thread.join(10)


def test_pages_of_a_whole_run(full: Path) -> None:
    """Every page and part is there; the plan shows every pool, workload, bound and basis."""
    with serving(full) as get:
        answers = {path: get(path) for path in PAGES + PARTS}
    assert {status for status, _ in answers.values()} == {200}
    plan = answers["/plan"][1]
    for word in ("h800", "Ascend-910B2", "customer-answers", "Every promise holds", "1.236", "measured", "modelled"):
        assert word in plan
    assert plan.count('class="chart"') == 5  # one day a pool
    assert "CUDA out of memory" in answers["/running"][1]
    assert "H20-96" in answers["/fleet"][1]


def test_pages_of_nothing(tmp_path: Path) -> None:
    """A run that is not there yet has all pages too, and they say what to do."""
    with serving(tmp_path / "none") as get:
        answers = {path: get(path) for path in PAGES + PARTS}
    assert {status for status, _ in answers.values()} == {200}
    assert "eke plan" in answers["/plan"][1]
    assert "eke up" in answers["/running"][1]
    assert "/v1/chat/completions" in answers["/usage"][1]


def test_infeasible_is_an_answer(full: Path, infeasible: str) -> None:
    """What cannot hold is named, with what would make it hold, one by one and all at once."""
    changed = json.loads(infeasible) | {"together": [["8 more nodes of l20", "tune in 6 d instead of 3 d"]]}
    (full / "plan.json").write_text(json.dumps(changed))
    with serving(full) as get:
        _, page = get("/plan")
    for word in ("Not every promise can hold", "61 L20 more", "8 more nodes of l20", "tune in 6 d instead of 3 d"):
        assert word in page


def test_the_objective_has_its_interval_and_basis(full: Path) -> None:
    """What the plan reaches, and each job's speed, are told with where they lie and what they rest on."""
    plan = json.loads((full / "plan.json").read_text())
    plan["objective"] |= {"unit": "PFLOP/s of training", "basis": "modelled", "interval": {"value": [1.231, 1.5]}}
    plan["objective"]["rests_on"] = {"modelled": 0.9, "guessed": 0.1}
    job = next(w for w in plan["workloads"] if w["kind"] == "train")
    job["interval"] = {"days": [job["days"] / 2, job["days"]]}
    (full / "plan.json").write_text(json.dumps(plan))
    with serving(full) as get:
        _, page = get("/plan")
    assert "1.231 (1.231–1.5) PFLOP/s of training" in page
    assert "90% modelled, 10% guessed" in page
    assert f"({units.show_seconds(job['days'] * 43200)} to {units.show_seconds(job['days'] * 86400)})" in page


def test_api(full: Path) -> None:
    """Scripts get the same facts, each with its format."""
    with serving(full) as get:
        for name in ("status", "plan", "usage", "training"):
            status, text = get(f"/api/{name}")
            assert (status, json.loads(text)["format"]) == (200, f"eke.{name}/1")
        assert json.loads(get("/api/plan")[1])["pools"][0]["name"] == "h800"


def test_api_of_nothing(empty: Path) -> None:
    """Where there is nothing, /api says so with 404 or an empty document, never a fault."""
    with serving(empty) as get:
        for name, expected in (("status", 200), ("plan", 404), ("usage", 404), ("training", 200), ("nonsense", 404)):
            status, text = get(f"/api/{name}")
            assert status == expected
            assert isinstance(json.loads(text), dict)


def test_no_such_page(empty: Path) -> None:
    """A wrong address is told so, and is not echoed as markup."""
    with serving(empty) as get:
        status, page = get("/%3Cscript%3E")
    assert status == 404
    assert "<script>" not in page.replace("<script src", "")


def test_names_are_text(full: Path) -> None:
    """Markup in a log stays text."""
    (full / "logs" / "gateway.log").write_text("<img src=x onerror=alert(1)>")
    with serving(full) as get:
        _, page = get("/logs/gateway")
    assert "<img" not in page


@pytest.mark.parametrize("name", ["style.css", "chat.js", "htmx-4.0.1.min.js", "htmx-LICENSE.txt", "eke.svg"])
def test_static(empty: Path, name: str) -> None:
    """Everything a page loads ships along."""
    with serving(empty) as get:
        assert get(f"/static/{name}")[0] == 200
