"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

os.environ.pop("COLUMNS", None)  # parallel test runs set it; pages are then cut to it


@pytest.fixture(autouse=True)
def eke_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home for every test: nothing reads or writes the user's own."""
    home = tmp_path / "eke"
    monkeypatch.setenv("EKE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Figures from outside that are not part of the repository."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("figures from outside (../shared/data) are not here")
    return path
