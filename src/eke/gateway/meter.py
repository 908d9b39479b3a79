"""Who used how much: every request in the ledger, exactly once, without the request ever waiting for a disk.

A request is opened when it is accepted and closed when it ends, however it ends. Rows wait in memory, the newest of a
request replacing the older, until one thread writes them together; running streams are written about every second.
The ledger replaces rows by id, so a batch written twice counts once. It knows tokens, not HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass, field

from eke.gateway.dialect import Tokens
from eke.gateway.limits import Limits
from eke.gateway.metrics import Metrics
from eke.gateway.tally import Tally
from eke.runtime.ledger import Ledger, Request, RequestStatus

log = logging.getLogger(__name__)

RETRY_S = 0.5  # after the ledger could not be written
LAST_TRIES = 10  # to write what is left when the gateway ends


@dataclass(slots=True, eq=False)
class Entry:
    """One request while it is served.

    Attributes:
        task: the engine that serves it; empty while it waits.
        tally: counts a stream; replaced when another engine begins anew.
        tokens: counts of an answer in one piece.
    """

    id: str
    app: str
    model: str
    at: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.monotonic)
    task: str = ""
    tally: Tally | None = None
    tokens: Tokens | None = None
    ttft_s: float | None = None
    open: bool = True

    def first(self) -> None:
        """The first token leaves now."""
        if self.ttft_s is None:
            self.ttft_s = time.monotonic() - self.begun

    def used(self) -> Tokens:
        """Tokens so far."""
        return self.tokens or (self.tally.tokens() if self.tally else Tokens())

    def row(self, status: RequestStatus, used: Tokens, seconds: float) -> Request:
        """As the ledger keeps it."""
        return Request(
            self.id, self.at, self.app, self.model, self.task,
            used.prompt, used.cached, used.output, status, self.ttft_s, seconds,
        )  # fmt: skip


class Meter:
    """The open requests, and the thread that writes.

    Args:
        metrics: told of every request that ended.
        limits: how long rows may wait.
    """

    def __init__(self, metrics: Metrics, limits: Limits) -> None:
        self._metrics, self._limits = metrics, limits
        self._gateway, self._count = uuid.uuid4().hex[:16], 0  # together they name a request for ever
        self._running: dict[str, Entry] = {}
        self._new: dict[str, Entry] = {}  # those no row was written of
        self._rows: dict[str, Request] = {}
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, ledger: Ledger) -> None:
        """Begin to write into `ledger`."""
        self._thread = threading.Thread(target=self._write, args=(ledger,), name="meter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, then end. Blocks."""
        self.progress()
        self._ending.set()
        self._some.set()
        if self._thread:
            self._thread.join()

    def open(self, app: str, model: str) -> Entry:
        """A request was accepted."""
        self._count += 1
        entry = Entry(f"req-{self._gateway}-{self._count:x}", app, model)
        self._running[entry.id] = self._new[entry.id] = entry
        return entry

    def close(self, entry: Entry, status: RequestStatus) -> None:
        """It ended; a second end of the same request is ignored."""
        if not entry.open:
            return
        entry.open = False
        del self._running[entry.id]
        self._new.pop(entry.id, None)
        used, seconds = entry.used(), time.monotonic() - entry.begun
        self._put(entry.row(status, used, seconds))
        self._metrics.ended(entry.model, status, used, entry.ttft_s, seconds)

    def arrivals(self) -> None:
        """Have requests written that came since the last look and still run; most are over by then: one row does."""
        self._progress(self._new)

    def progress(self) -> None:
        """Have the counts of all running requests written."""
        self._progress(self._running)

    def _progress(self, entries: dict[str, Entry]) -> None:
        for entry in entries.values():
            self._put(entry.row("running", entry.used(), time.monotonic() - entry.begun))
        self._new = {}

    def _put(self, row: Request) -> None:
        with self._lock:
            self._rows[row.id] = row
        if not self._some.is_set():
            self._some.set()

    def _write(self, ledger: Ledger) -> None:
        tries = 0
        while not (self._ending.is_set() and not self._rows) and tries < LAST_TRIES:
            self._some.wait()
            self._ending.wait(self._limits.flush_s)
            written = self._flush(ledger)
            tries += not written and self._ending.is_set()
            if not written:
                time.sleep(RETRY_S)
        if self._rows:
            log.error("the ledger could not be written: %d requests are lost", len(self._rows))

    def _flush(self, ledger: Ledger) -> bool:
        with self._lock:
            rows, self._rows = self._rows, {}
            self._some.clear()
        try:
            ledger.record(rows.values())
        except Exception as error:  # noqa: BLE001 - whatever it is, serving goes on and the rows are kept
            log.warning("the ledger cannot be written, trying again: %s", error)
            with self._lock:
                self._rows = rows | self._rows
            self._some.set()
            return False
        return True
