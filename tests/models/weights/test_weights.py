"""What is in place: files of the user's, records, locks, room."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.models.weights.conftest import CONTENT, Shelf

from eke.errors import EkeError, InputError, UnknownName
from eke.models import weights
from eke.models.weights import files


def test_both_pinned_files_are_complete() -> None:
    """Two models, every part pinned, Apache-2.0."""
    known = weights.known()
    assert {n: len(w.wheels) for n, w in known.items()} == {"embedded": 6, "embedded-1.5b": 22}
    for of in known.values():
        assert of.licence == "Apache-2.0"
        assert all(len(pin) == 64 for pin in (*of.wheels, of.sha256))
        assert len(set(of.wheels)) == len(of.wheels)


def test_an_unknown_model_is_named() -> None:
    """Eke brings no weights of a 235B model."""
    with pytest.raises(UnknownName, match="embedded"):
        weights.path("Qwen3-235B-A22B")


def test_a_file_of_the_users_is_taken(shelf: Shelf, tmp_path: Path) -> None:
    """On the same disk it is the same file twice; its checksum and origin are recorded."""
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    assert weights.fetch("small", mine) == shelf.target
    assert shelf.target.samefile(mine)
    record = json.loads((shelf.models / "small.gguf.json").read_text())
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert record["source"] == str(mine)


def test_another_file_is_taken_with_a_warning(shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The user may bring other weights; the log says they are not the pinned ones, and they stay."""
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF of my own")
    with caplog.at_level(logging.WARNING):
        weights.fetch("small", str(mine))
    assert "not the pinned file" in caplog.text
    assert weights.path("small") == shelf.target
    assert weights.fetch("small").read_bytes() == b"GGUF of my own"


@pytest.mark.parametrize("source", ["nowhere.gguf", "index"])
def test_a_source_that_is_not_there(shelf: Shelf, source: str) -> None:
    """The sources are named."""
    with pytest.raises(InputError, match="packages, hub"):
        weights.fetch("small", source)


def test_a_file_of_another_kind_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    """Only GGUF."""
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="GGUF"):
        weights.fetch("small", tmp_path / "notes.txt")


def test_a_file_without_a_record_is_checked(shelf: Shelf) -> None:
    """Right bytes found in place are recorded; wrong ones are fetched anew."""
    shelf.target.write_bytes(CONTENT)
    weights.fetch("small")
    assert json.loads((shelf.models / "small.gguf.json").read_text())["source"] == "found in place"
    shelf.target.write_bytes(CONTENT[:-1] + b"!")
    assert weights.fetch("small").read_bytes() == CONTENT


def test_half_a_file_is_no_file(shelf: Shelf) -> None:
    """A file of another length, without a record, does not count as there."""
    shelf.target.write_bytes(CONTENT[:50])
    assert weights.path("small") is None


def test_no_room_is_said_before_the_download(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is needed, how much is free, where, and what to do."""
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(EkeError, match="not enough room") as caught:
        weights.fetch("small")
    assert "1 kB free" in str(caught.value)
    assert "EKE_MODELS" in str(caught.value)


def test_two_fetches_do_not_meet(shelf: Shelf) -> None:
    """The second waits for the first, then finds the file there."""
    waiting, said = threading.Event(), []

    def tell(step: str, done: int, total: int) -> None:
        said.append(step)
        if "another process" in step:
            waiting.set()

    with files.alone(shelf.target, files.silent):
        second = threading.Thread(target=weights.fetch, args=("small",), kwargs={"progress": tell})
        second.start()
        assert waiting.wait(10)
        shelf.target.write_bytes(CONTENT)
    second.join(30)
    assert said[-1] == "checking what is here"
    assert not second.is_alive()
