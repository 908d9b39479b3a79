"""Files whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from eke.training import atomic


def test_a_file_appears_whole(tmp_path: Path) -> None:
    """What was written is there, and nothing else."""
    with atomic.replacing(tmp_path / "a") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "new"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """An error while writing changes nothing and leaves nothing behind."""
    (tmp_path / "a").write_text("old")

    def fail() -> None:
        with atomic.replacing(tmp_path / "a") as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_sweep_removes_only_what_is_half_written(tmp_path: Path) -> None:
    """Leftovers of a killed process go; whole files stay."""
    (tmp_path / "a").touch()
    (tmp_path / f"b{atomic.SUFFIX}").touch()
    atomic.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
