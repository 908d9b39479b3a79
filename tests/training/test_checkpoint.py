"""Checkpoints: whole or absent, checked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from eke.errors import EkeError
from eke.training import atomic, checkpoint


def _save(folder: Path, *steps: int, keep: int = 3) -> list[Path]:
    return [checkpoint.save(folder, n, {"model": {"w": torch.full((100,), float(n))}}, keep) for n in steps]


def test_the_newest_comes_back(tmp_path: Path) -> None:
    """What was saved last is loaded, and it is what was saved."""
    _save(tmp_path, 1, 2, 11)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found[1]["step"] == 11
    assert torch.equal(found[1]["model"]["w"], torch.full((100,), 11.0))


def test_only_the_last_few_stay(tmp_path: Path) -> None:
    """Older ones go, once the new one is there."""
    _save(tmp_path, 1, 2, 3, 4, keep=2)
    assert [p.name[:13] for p in sorted((tmp_path / checkpoint.FOLDER).iterdir())] == ["step-00000003", "step-00000004"]


@pytest.mark.parametrize("harm", ["torn", "flipped", "empty"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    """A torn, flipped or empty file is skipped with a word, and the one before is used."""
    _, path = _save(tmp_path, 1, 2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"torn": data[: len(data) // 2], "flipped": bytes(data), "empty": b""}[harm])
    with caplog.at_level(logging.WARNING):
        found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found[1]["step"] == 1
    assert path.name in caplog.text
    assert path.exists(), "a reader changes nothing"


def test_damaged_ones_set_aside_do_not_crowd_out_good_ones(tmp_path: Path) -> None:
    """A damaged newer file is renamed by the trainer, so that keeping the last two keeps two good ones."""
    good, bad = _save(tmp_path, 5, 9)
    bad.write_bytes(b"")
    checkpoint.latest(tmp_path, set_aside=True)
    (new,) = _save(tmp_path, 6, keep=2)
    assert good.exists()
    assert new.exists()
    assert bad.with_suffix(".damaged").exists()


def test_none_is_none(tmp_path: Path) -> None:
    """No folder, an empty one, or one with strange files holds no checkpoint."""
    assert checkpoint.latest(tmp_path) is None
    (tmp_path / checkpoint.FOLDER).mkdir()
    (tmp_path / checkpoint.FOLDER / "step-latest.pt").touch()
    assert checkpoint.latest(tmp_path) is None


def test_a_file_of_another_format_is_passed_over(tmp_path: Path) -> None:
    """A whole file that says another format is not ours to load."""
    checkpoint.save(tmp_path, 3, {"format": "eke.checkpoint/99"}, 2)
    assert checkpoint.latest(tmp_path) is None


@pytest.mark.parametrize("call", range(2))
def test_a_failure_while_saving_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Whichever flush fails, a good checkpoint is there and nothing half-written counts."""
    _save(tmp_path, 1)
    calls = iter(range(10))

    def fail(path: Path) -> None:
        if next(calls) == call:
            raise OSError("no space left")

    monkeypatch.setattr(atomic, "flush", fail)
    with pytest.raises(EkeError, match="cannot write"):
        _save(tmp_path, 2)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found[1]["step"] in (1, 2)
    assert not list((tmp_path / checkpoint.FOLDER).glob(f"*{atomic.SUFFIX}"))
