"""Who is served where, and who waits: the engines as tables, their slots as seats, the requests as guests in one line.

A guest asks by a name, which is a model or a workload; several tables may serve it, and one table serves both its
names. A free seat at the emptiest table is taken at once; else the guest waits, first come first served, and nobody
overtakes: there is never both a waiting guest and a free seat that would suit. A table whose engine just failed is
closed for a moment, longer each time. Pure bookkeeping: it knows no clock, no event loop and no HTTP.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from eke.runtime.state import Endpoint

CLOSED_S = 0.25  # after the second failure in a row, doubled each time; after the first it may be tried at once
CLOSED_MAX_S = 2.0


class QueueFullError(Exception):
    """No room left in the line."""


@dataclass(slots=True, eq=False)
class Table:
    """An engine: where it is, how many guests sit there, and whether it is open."""

    endpoint: Endpoint
    taken: int = 0
    last: int = 0  # when somebody last sat down, as a count
    present: bool = True
    failures: int = 0
    closed_until: float = 0.0

    def free(self, now: float) -> int:
        """Seats that may be taken."""
        return max(0, self.endpoint.slots - self.taken) if self.present and now >= self.closed_until else 0

    @property
    def names(self) -> tuple[str, ...]:
        """What it can be asked by."""
        model, workload = self.endpoint.model, self.endpoint.workload
        return (model,) if workload in ("", model) else (model, workload)


@dataclass(slots=True, order=True)
class Guest:
    """One who waits. `ticket` is the place in the line, kept when it must wait a second time."""

    ticket: int
    name: str = field(compare=False)
    since: float = field(compare=False)
    called: Callable[[Table], None] = field(compare=False)
    table: Table | None = field(compare=False, default=None)
    left: bool = field(compare=False, default=False)


class Seats:
    """All tables and the line.

    Args:
        room: guests that may wait at a time.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.waiting = 0
        self._tables: dict[str, Table] = {}
        self._serving: dict[str, list[Table]] = {}  # name → tables
        self._lines: dict[str, list[Guest]] = {}  # name → heap by ticket, those who left still in it
        self._tickets = self._sat = 0

    def ticket(self) -> int:
        """A place in the line, later than all before."""
        self._tickets += 1
        return self._tickets

    def tables(self) -> list[Table]:
        """Those that are present."""
        return [t for t in self._tables.values() if t.present]

    def refresh(self, endpoints: Iterable[Endpoint], now: float) -> None:
        """These engines answer now, and no others; guests of a vanished one keep their seats until they stand up."""
        found = {e.task: e for e in endpoints}
        for task, table in list(self._tables.items()):
            if task not in found:
                table.present, table.failures, table.closed_until = False, 0, 0.0
                if not table.taken:
                    del self._tables[task]
        for task, endpoint in found.items():
            table = self._tables.setdefault(task, Table(endpoint))
            table.endpoint, table.present = endpoint, True
        self._serving = {}
        for table in self.tables():
            for name in table.names:
                self._serving.setdefault(name, []).append(table)
        self.seat(now)

    def take(self, name: str, now: float) -> Table | None:
        """The emptiest suitable table, of equals the longest unused, one seat taken; None: the guest must wait."""
        if self.waiting:
            self.seat(now)
        best, most = None, 0
        for table in self._serving.get(name, ()):
            free = table.free(now)
            if free > most or (best and free == most and table.last < best.last):
                best, most = table, free
        if best:
            self._sit(best)
        return best

    def wait(self, name: str, ticket: int, now: float, called: Callable[[Table], None]) -> Guest:
        """Stand in line; `called` is told the table as soon as there is one.

        Raises:
            QueueFullError: nobody was added.
        """
        if self.waiting >= self.room:
            raise QueueFullError
        guest = Guest(ticket, name, now, called)
        heapq.heappush(self._lines.setdefault(name, []), guest)
        self.waiting += 1
        return guest

    def leave(self, guest: Guest, now: float) -> None:
        """Stop waiting; a seat given meanwhile is free again."""
        if guest.table is not None:
            self.release(guest.table, now)
            guest.table = None
        elif not guest.left:
            guest.left = True
            self.waiting -= 1

    def release(self, table: Table, now: float) -> None:
        """Stand up."""
        table.taken -= 1
        if self.waiting:
            self._fill(table, now)
        if not table.present and not table.taken and self._tables.get(table.endpoint.task) is table:
            del self._tables[table.endpoint.task]

    def worked(self, table: Table, now: float) -> None:
        """Its engine answered: past failures are forgotten."""
        if table.failures:
            table.failures, table.closed_until = 0, 0.0
            self._fill(table, now)

    def failed(self, table: Table, now: float) -> None:
        """Its engine did not answer, or died: closed for a moment."""
        if table.failures:
            table.closed_until = now + min(CLOSED_MAX_S, CLOSED_S * 2 ** min(table.failures - 1, 8))
        table.failures += 1

    def seat(self, now: float) -> None:
        """Call guests to whatever seats are free."""
        if self.waiting:
            for table in sorted(self.tables(), key=lambda t: -t.free(now)):
                self._fill(table, now)

    def oldest(self, now: float) -> float:
        """Seconds the first in the line has waited; 0 when nobody does."""
        heads = [head.since for name in list(self._lines) if (head := self._head(name))]
        return now - min(heads) if heads else 0.0

    def _sit(self, table: Table) -> None:
        self._sat += 1
        table.taken, table.last = table.taken + 1, self._sat

    def _head(self, name: str) -> Guest | None:
        line = self._lines.get(name, [])
        while line and line[0].left:
            heapq.heappop(line)
        if line:
            return line[0]
        self._lines.pop(name, None)
        return None

    def _fill(self, table: Table, now: float) -> None:
        while table.free(now):
            guest = min((g for name in table.names if (g := self._head(name))), default=None)
            if guest is None:
                return
            heapq.heappop(self._lines[guest.name])
            self.waiting -= 1
            self._sit(table)
            guest.table = table
            guest.called(table)
