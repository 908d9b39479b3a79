"""CPU threads that keep out of others' way."""

from __future__ import annotations

import os

import pytest

from eke.training import threads


def test_threads_never_exceed_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pinned process uses the cores it is pinned to, not those of the machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3})
    assert [threads.usable(n) for n in (1, 2, 64)] == [1, 2, 2]


def test_the_user_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting threads sleep, unless the environment already says how they wait."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    threads.wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    threads.wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
