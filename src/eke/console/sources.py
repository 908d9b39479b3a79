"""What lies in a run's folder: plan, status, ledger, training. What is missing or half written is said, never raised.

Knows nothing of HTML.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from eke.errors import EkeError
from eke.plan import plan as plans
from eke.plan.plan import Plan
from eke.runtime import status as statuses
from eke.runtime.ledger import Ledger, Usage
from eke.training import progress
from eke.training.progress import Progress

log = logging.getLogger(__name__)
T = TypeVar("T")
FRESH_S = 1.0  # many browsers, one look a second
LOG_BYTES = 24_000


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Something that was looked for: it, or why it is not there."""

    value: T | None
    why: str = ""


class Sources:
    """The folder of one run, read no more than once a second each way.

    Args:
        folder: may be empty, or not there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[object, tuple[float, Found[Any] | None]] = {}
        self._lock = threading.Lock()

    def plan(self) -> Found[Plan]:
        """The plan that was made, if one was."""
        path = self.folder / "plan.json"
        if not path.exists():
            return Found(None, "No plan has been made for this run yet.")
        return self._remembered("plan", lambda: plans.read(path))

    def status(self) -> Found[dict[str, Any]]:
        """What is running: `eke.status/1`."""
        return self._remembered("status", lambda: statuses.read(self.folder))

    def usage(self, *by: str, since: float | None = None) -> Found[list[Usage]]:
        """Sums over the requests served. `since` is rounded to the second."""
        if not (self.folder / "eke.db").exists():
            return Found(None, "Nothing has been served yet.")
        return self._remembered(("usage", by, since and int(since)), lambda: self._usage(by, since))

    def training(self) -> dict[str, Found[Progress]]:
        """Every training job of the run, by workload."""
        folders = sorted(p.parent for p in (self.folder / "train").glob("*/job.json"))
        return {f.name: self._remembered(("train", f.name), partial(progress.read, f)) for f in folders}

    def log(self, task: str) -> Found[str]:
        """The end of a task's log."""
        folder = (self.folder / "logs").resolve()
        path = (folder / f"{task}.log").resolve()
        if path.parent != folder or not path.is_file():
            return Found(None, "Nothing is written yet.")
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            cut = file.tell() > 0
            text = file.read().decode(errors="replace")
        return Found(text.partition("\n")[2] if cut else text)

    def _usage(self, by: tuple[str, ...], since: float | None) -> list[Usage]:
        ledger = Ledger(self.folder)
        try:
            return ledger.usage(by=by, since=since)
        finally:
            ledger.close()

    def _remembered(self, key: object, read: Callable[[], T]) -> Found[T]:
        with self._lock:
            at, last = self._seen.get(key, (-FRESH_S, None))
            if last is not None and time.monotonic() - at < FRESH_S:
                return last
            found = _tried(read)
            if len(self._seen) > 64:
                self._seen.clear()
            self._seen[key] = (time.monotonic(), found)
            return found


def _tried(read: Callable[[], T]) -> Found[T]:
    try:
        return Found(read())
    except EkeError as error:
        return Found(None, ". ".join(filter(None, (error.what, error.why))))
    except (OSError, ValueError, SQLAlchemyError) as error:  # a file on its way, a database of another age
        log.warning("cannot be read: %s", error)
        return Found(None, f"It cannot be read at the moment: {error}")
