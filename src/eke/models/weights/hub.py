"""Weights from a model hub, over plain HTTPS, only when the user says so. No account, no client library.

The hub is `$HF_ENDPOINT`, or the address given. What arrived before an interruption is kept and continued.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from eke import __version__
from eke.errors import EkeError, InputError
from eke.models.weights import files
from eke.models.weights.manifest import Weights

TIMEOUT_S = 60.0


def address(of: Weights, url: str | None = None) -> str:
    """Where the file is: `url` as given, or below `$HF_ENDPOINT`.

    Raises:
        InputError: neither is there, or it is no web address.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    found = url or (f"{endpoint}/{of.hub}/resolve/main/{of.file}" if endpoint else "")
    if not found.startswith(("https://", "http://")):
        raise InputError(
            f"no model hub to fetch {of.name!r} from" if not found else f"{found!r} is no web address",
            why="Eke asks a hub only when told which",
            remedy="set HF_ENDPOINT to the hub's address, or give the file's own with --url",
        )
    return found


def fetch(of: Weights, part: Path, progress: files.Progress, url: str | None = None) -> None:
    """Write the whole of `of` to `part`, going on from what is already there; the caller checks it.

    Raises:
        EkeError: the hub cannot be reached or refuses; says what it answered.
    """
    where = address(of, url)
    have = part.stat().st_size if part.is_file() else 0
    if have >= of.bytes:
        part.unlink()
        have = 0
    files.need_room(part.parent, of.bytes - have)
    headers = {"User-Agent": f"eke/{__version__}"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(where, headers=headers)

    def tell(_: int) -> None:
        progress("from the hub", part.stat().st_size, of.bytes)

    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            have = have if answer.status == 206 else 0  # a server without ranges sends all of it again
            files.copy(answer.read, part, append=have > 0, tell=tell)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise EkeError(
            f"{where} could not be fetched",
            why=str(error),
            remedy="try again: what has arrived is kept. Or another source: --from packages, or --from FILE",
        ) from error
