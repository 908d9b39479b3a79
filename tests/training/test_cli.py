"""`eke train`, as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eke.cli import train
from eke.errors import NotInstalled, UnitError
from eke.training.corpus import DEFAULT


def _eke(*words: str) -> str:
    result = CliRunner().invoke(train.app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def _config(folder: Path) -> Path:
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
        "max_position_embeddings": 64,
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps(sizes))
    return path


def test_run_status_sample(tmp_path: Path) -> None:
    """Train, look, listen; the same command again finds it done and goes on when asked for more."""
    words = ("run", "--model", str(_config(tmp_path)), "--threads", "1", "--dir", str(tmp_path / "t"))
    _eke(*words, "--tokens", "32k")
    assert json.loads(_eke("status", str(tmp_path / "t"), "-o", "json"))["step"] == 2
    _eke(*words, "--tokens", "48k")
    now = json.loads(_eke("status", str(tmp_path / "t"), "-o", "json"))
    assert (now["format"], now["state"], now["step"], now["steps"]) == ("eke.training/1", "done", 3, 3)
    assert [point["step"] for point in now["history"]] == [1, 2, 3]
    assert "3 of 3" in _eke("status", str(tmp_path / "t"))
    said = _eke("sample", str(tmp_path / "t"), "--prompt", "ROMEO:", "--length", "20")
    assert said.startswith("ROMEO:")
    assert len(said) > 10


def test_the_default_folder_is_named_after_the_text(eke_home: Path, tmp_path: Path) -> None:
    """Without --dir, the training of a text lives below Eke's home, by the name of the text."""
    text = tmp_path / "letters.txt"
    text.write_bytes(DEFAULT.read_bytes()[:5000])
    _eke("run", "--model", str(_config(tmp_path)), "--text", str(text), "--tokens", "100", "--threads", "1")
    assert (eke_home / "train" / "letters" / "job.json").is_file()


def test_status_prints_every_format(make: Callable[..., Path]) -> None:
    """Also before the first step, nothing is missing and nothing fails."""
    folder = str(make())
    assert "new" in _eke("status", folder)
    assert _eke("status", folder, "-o", "csv").startswith("model,state,step")
    assert "format: eke.training/1" in _eke("status", folder, "-o", "yaml")


def test_a_wrong_quantity_is_refused(tmp_path: Path) -> None:
    """Tokens with a unit of something else name the option."""
    with pytest.raises(UnitError, match="--tokens"):
        _eke("run", "--tokens", "5 GB", "--dir", str(tmp_path))


def test_without_torch_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra to install."""
    monkeypatch.setattr(train, "find_spec", lambda _: None)
    with pytest.raises(NotInstalled) as caught:
        _eke("run")
    assert "eke[train]" in caught.value.remedy
