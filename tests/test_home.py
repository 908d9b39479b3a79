"""Where things are kept can be said by the environment, and is otherwise one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from eke import home


def test_one_folder_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without variables everything is below `~/.eke`; models alone can be moved."""
    monkeypatch.delenv("EKE_HOME")
    monkeypatch.delenv("EKE_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.models() == tmp_path / ".eke" / "models"
    assert home.run("a") == tmp_path / ".eke" / "run" / "a"
    monkeypatch.setenv("EKE_MODELS", "~/elsewhere")
    assert home.models() == tmp_path / "elsewhere"
    assert home.profiles() == tmp_path / ".eke" / "profiles"
