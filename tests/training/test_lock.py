"""One trainer a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from eke.errors import EkeError
from eke.training import lock


def test_a_second_trainer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the lock is alone; the message names the folder."""
    monkeypatch.setattr(lock, "PAUSE_S", 0.0)
    with lock.held(tmp_path), pytest.raises(EkeError, match=str(tmp_path)), lock.held(tmp_path):
        pass


def test_the_lock_is_seen_and_let_go(tmp_path: Path) -> None:
    """Readers see the lock while it is held, and not before or after."""
    assert not lock.is_held(tmp_path)
    with lock.held(tmp_path):
        assert lock.is_held(tmp_path)
    assert not lock.is_held(tmp_path)


def test_asking_does_not_keep_a_trainer_out(tmp_path: Path) -> None:
    """A reader's question leaves the lock free."""
    with lock.held(tmp_path):
        pass
    assert not lock.is_held(tmp_path)
    with lock.held(tmp_path):
        assert lock.is_held(tmp_path)
