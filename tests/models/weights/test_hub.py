"""Weights from a model hub, over HTTP on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.models.weights.conftest import CONTENT, Shelf

from eke.errors import ChecksumMismatch, EkeError, InputError
from eke.models import weights


class Hub(BaseHTTPRequestHandler):
    """Serves `CONTENT` at the hub's path; `content`, `ranges` and `cut` are set by tests."""

    content = CONTENT
    ranges = True
    cut: int | None = None
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if not self.path.endswith("/eke/small-gguf/resolve/main/small.gguf"):
            self.send_error(404)
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut])

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub of one file, where $HF_ENDPOINT points."""
    handler = type("Handler", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_file_arrives(shelf: Shelf, hub: type[Hub]) -> None:
    """Below the endpoint, at the hub's usual address, checked against the same pin."""
    told: list[int] = []
    assert weights.fetch("small", "hub", progress=lambda step, done, total: told.append(done)) == shelf.target
    assert shelf.target.read_bytes() == CONTENT
    assert told[-1] == len(CONTENT)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(shelf: Shelf, hub: type[Hub], ranges: bool) -> None:
    """What arrived is continued; a server without ranges sends all of it again."""
    hub.ranges = ranges
    part = shelf.models / "small.gguf.part"
    part.write_bytes(CONTENT[:100])
    weights.fetch("small", "hub")
    assert hub.asked[0][1] == "bytes=100-"
    assert shelf.target.read_bytes() == CONTENT


def test_other_bytes_are_refused_and_deleted(shelf: Shelf, hub: type[Hub]) -> None:
    """A file of the right length and another content never gets its name."""
    hub.content = b"GGUF" + b"\0" * (len(CONTENT) - 4)
    with pytest.raises(ChecksumMismatch):
        weights.fetch("small", "hub")
    assert weights.path("small") is None
    assert not (shelf.models / "small.gguf.part").exists()


def test_a_refusal_says_where(shelf: Shelf, hub: type[Hub]) -> None:
    """The address and what the hub answered."""
    with pytest.raises(EkeError, match="nowhere") as caught:
        weights.fetch("small", "hub", url=f"http://127.0.0.1:{1}/nowhere")
    assert "--from packages" in str(caught.value)


def test_no_hub_is_asked_unasked(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without $HF_ENDPOINT and --url there is no hub."""
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(InputError, match="HF_ENDPOINT"):
        weights.fetch("small", "hub")


def test_an_address_is_a_web_address(shelf: Shelf) -> None:
    """No file:// and no bare host."""
    with pytest.raises(InputError, match="web address"):
        weights.fetch("small", "hub", url="file:///etc/hostname")
