"""What was served: one row a request, from its first token to its last, counted once whatever happens.

Like a waiter's pad: the order is written when it comes in, corrected while it is served, and closed at the end.
Writing the same request again replaces its row, so a repeated or late write never counts twice.
Knows nothing of HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ColumnElement, case, func, or_, select, update

from eke.errors import InputError
from eke.runtime import database

RequestStatus = Literal["running", "ok", "cancelled", "failed"]
BUCKETS = {"minute": 60, "hour": 3600, "day": 86400}  # seconds of the times one can group by, from midnight UTC
FIELDS = ("model", "app", "task", "status")
TOKENS = ("prompt_tokens", "cached_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: who asked which model when, which engine's task served it, and what it took.

    `at` is when it came in, `ttft_s` the wait for its first token, `seconds` its whole time so far.
    `cached_tokens` are those of the prompt that a prefix cache had.
    """

    id: str
    at: float
    app: str
    model: str
    task: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    status: RequestStatus = "running"
    ttft_s: float | None = None
    seconds: float | None = None


COLUMNS = tuple(f.name for f in fields(Request))


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over the requests of one group; `key` says which: `{"model": "…", "day": "2026-11-22"}`."""

    key: dict[str, str]
    requests: int
    running: int
    failed: int
    cancelled: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: float


class Ledger:
    """The requests of one run.

    Args:
        where: the run's folder, or a database URL.
    """

    def __init__(self, where: Path | str) -> None:
        self._engine = database.connect(where)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def record(self, requests: Iterable[Request]) -> None:
        """Write requests, in one transaction; a request already there is replaced, but never reopened once closed."""
        latest: dict[str, Request] = {}
        for request in requests:
            if request.status != "running" or latest.get(request.id, request).status == "running":
                latest[request.id] = request
        rows = [{name: getattr(request, name) for name in COLUMNS} for request in latest.values()]
        if not rows:
            return
        with database.writing(self._engine) as connection:
            database.upsert(connection, database.requests, rows, where=_not_reopened)

    def close_orphans(self, before: float | None = None) -> int:
        """Close as failed what a dead gateway left running, keeping its tokens; says how many there were.

        Args:
            before: only requests that came in before this time; default: now.
        """
        r = database.requests
        left = (r.c.status == "running") & (r.c.at <= (time.time() if before is None else before))
        with database.writing(self._engine) as connection:
            return connection.execute(update(r).where(left).values(status="failed")).rowcount

    def requests(self, limit: int = 100) -> list[Request]:
        """The latest requests, newest first."""
        r = database.requests
        with self._engine.connect() as connection:
            rows = connection.execute(select(r).order_by(r.c.at.desc()).limit(limit)).mappings()
            return [Request(**row) for row in rows]

    def usage(self, by: str | Sequence[str] = "model", since: float | None = None) -> list[Usage]:
        """Sums of requests that came in at or after `since`, one row a group, in the order of the groups.

        Args:
            by: one or several of model, app, task, status, minute, hour, day (UTC); empty: one row over all.
            since: seconds since 1970; default: everything.
        """
        words = [by] if isinstance(by, str) else list(by)
        groups = [_group(word).label(word) for word in words]
        r = database.requests
        query = select(*groups, *_sums()).where(r.c.at >= (since or 0.0)).group_by(*groups).order_by(*groups)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [_usage(words, dict(row)) for row in rows]


def _not_reopened(table: Any, incoming: Any) -> ColumnElement[bool]:
    return or_(table.c.status == "running", incoming.status != "running")


def _group(word: str) -> ColumnElement[Any]:
    if word in FIELDS:
        return database.requests.c[word]
    if word in BUCKETS:
        return database.requests.c.at // BUCKETS[word]
    raise InputError(f"usage by {word!r} is not kept", remedy=f"one of {', '.join((*FIELDS, *BUCKETS))}")


def _sums() -> list[ColumnElement[Any]]:
    r = database.requests.c
    ended = [func.sum(case((r.status == word, 1), else_=0)).label(word) for word in ("running", "failed", "cancelled")]
    tokens = [func.coalesce(func.sum(r[name]), 0).label(name) for name in TOKENS]
    return [func.count().label("requests"), *ended, *tokens, func.coalesce(func.sum(r.seconds), 0.0).label("seconds")]


def _usage(words: Sequence[str], row: dict[str, Any]) -> Usage:
    key = {word: _name(word, row.pop(word)) for word in words}
    return Usage(key=key, **{name: value or 0 for name, value in row.items()})


def _name(word: str, value: Any) -> str:
    if word not in BUCKETS:
        return str(value)
    start = datetime.fromtimestamp(value * BUCKETS[word], UTC)
    return f"{start:%Y-%m-%d}" if word == "day" else f"{start:%Y-%m-%dT%H:%MZ}"
