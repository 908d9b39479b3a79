"""The ledger: every request once, whoever writes, whenever they die."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.conftest import until

from eke.errors import InputError
from eke.runtime.ledger import Ledger, Request

WRITER = """
import sys
from eke.runtime.ledger import Ledger, Request
ledger = Ledger(sys.argv[1])
for i in range({count}):
    ledger.record([Request(f"{prefix}{{i}}", 1.0, "app", "m", "t", 10, 0, 3, "ok")])
    print(i, flush=True)
"""


def write(folder: Path, count: int, prefix: str = "") -> subprocess.Popen[str]:
    """A process that records `count` requests, one at a time, and says each once it is recorded."""
    code = WRITER.format(count=count, prefix=prefix)
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    book = Ledger(tmp_path / "run")
    yield book
    book.close()


def request(name: str, **words: object) -> Request:
    return Request(**{"id": name, "at": 1000.0, "app": "app", "model": "m", "task": "t", **words})  # type: ignore[arg-type]


def test_written_twice_counts_once(ledger: Ledger) -> None:
    """The same request written again, also in one batch, replaces itself."""
    ledger.record([request("a", output_tokens=1), request("a", output_tokens=2)])
    ledger.record([request("a", output_tokens=7, status="ok", seconds=2.0)])
    [row] = ledger.usage()
    assert (row.requests, row.output_tokens, row.seconds) == (1, 7, 2.0)


def test_a_closed_request_is_not_reopened(ledger: Ledger) -> None:
    """A late `running` does not undo the end of a request; a later end replaces an earlier one."""
    ledger.record([request("a", status="failed", output_tokens=5)])
    ledger.record([request("a", status="running", output_tokens=3)])
    assert ledger.requests()[0].output_tokens == 5
    ledger.record([request("a", status="ok", output_tokens=6)])
    assert ledger.requests()[0].status == "ok"


def test_orphans_are_closed_with_their_tokens(ledger: Ledger) -> None:
    """What a dead gateway left running counts as failed and keeps its tokens; what came later is left alone."""
    ledger.record([request("a", output_tokens=5), request("b", status="ok"), request("c", at=time.time() + 100)])
    assert ledger.close_orphans() == 1
    assert {r.id: r.status for r in ledger.requests()} == {"a": "failed", "b": "ok", "c": "running"}
    assert ledger.usage()[0].output_tokens == 5


def test_two_writers_lose_nothing(tmp_path: Path, ledger: Ledger) -> None:
    """Two processes that record the same and different requests at once leave each exactly once."""
    writers = [write(tmp_path / "run", 60), write(tmp_path / "run", 60), write(tmp_path / "run", 60, "x")]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    [row] = ledger.usage()
    assert (row.requests, row.prompt_tokens, row.output_tokens) == (120, 1200, 360)


def test_what_was_recorded_survives_sigkill(tmp_path: Path, ledger: Ledger) -> None:
    """A writer killed in the middle leaves every request it had recorded, whole, and the ledger goes on."""
    writer = write(tmp_path / "run", 100_000)
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(20)]
    writer.kill()
    said += writer.communicate()[0].splitlines()
    [row] = ledger.usage()
    assert len(said) <= row.requests <= len(said) + 1
    assert row.output_tokens == 3 * row.requests
    ledger.record([request("after")])
    assert until(lambda: ledger.usage()[0].requests) == row.requests + 1


def test_usage_by_model_app_and_day(ledger: Ledger) -> None:
    """Groups are named, dated in UTC, in order, and count what ended how."""
    day = 86400.0
    ledger.record(
        [
            request("a", at=day - 1, app="x", prompt_tokens=4, cached_tokens=2, status="ok"),
            request("b", at=day, app="x", prompt_tokens=4, status="cancelled"),
            request("c", at=day + 1, app="y", status="failed"),
        ]
    )
    rows = ledger.usage(by=("day", "app"))
    assert [row.key for row in rows] == [
        {"day": "1970-01-01", "app": "x"},
        {"day": "1970-01-02", "app": "x"},
        {"day": "1970-01-02", "app": "y"},
    ]
    assert [(r.cached_tokens, r.cancelled, r.failed) for r in rows] == [(2, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert ledger.usage(by="minute", since=day)[0].key == {"minute": "1970-01-02T00:00Z"}
    assert ledger.usage(by=(), since=10 * day)[0].requests == 0


def test_usage_by_nonsense_is_refused(ledger: Ledger) -> None:
    """A group nobody keeps is named, with those that are."""
    with pytest.raises(InputError, match="colour"):
        ledger.usage(by="colour")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations([(i, s) for i in range(4) for s in ("running", "running", "ok")]), st.integers(1, 5))
def test_any_order_gives_the_same_sums(tmp_path: Path, writes: list[tuple[int, str]], size: int) -> None:
    """However late and often updates arrive, closed requests count once with their last tokens."""
    book = Ledger(tmp_path / str(time.monotonic_ns()))
    rows = [request(str(i), status=s, output_tokens=9 if s == "ok" else 1) for i, s in writes]
    for start in range(0, len(rows), size):
        book.record(rows[start : start + size])
    [row] = book.usage()
    book.close()
    assert (row.requests, row.running, row.output_tokens) == (4, 0, 36)
