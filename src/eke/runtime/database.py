"""The run's memory on disk: four tables, and how to open them.

    tasks      what should be running (desired)        written by `eke up`
    processes  what is running (observed)              written by the controller
    signals    small facts by name: pressure, wanted   written by the gateway and the verbs
    requests   the ledger                              written by the gateway

One SQLite file in write-ahead mode, `RUN_DIR/eke.db`, or any SQLAlchemy URL. Every process opens it for itself.
The schema is brought up to date when it is opened. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import ConnectionPoolEntry

SCHEMA = "0001"  # the newest revision in migrations/versions
BUSY_MS = 15_000  # how long a writer waits for another one

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("name", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("spec", JSON, nullable=False),
)
processes = Table(
    "processes",
    metadata,
    Column("task", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("pid", Integer),
    Column("started", Float),
    Column("port", Integer),
    Column("cpus", JSON, nullable=False),
    Column("grace_s", Float, nullable=False),
    Column("digest", String, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("retry_at", Float, nullable=False),
    Column("error", String, nullable=False),
)
signals = Table(
    "signals",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("at", Float, nullable=False),
)
requests = Table(
    "requests",
    metadata,
    Column("id", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("app", String, nullable=False),
    Column("model", String, nullable=False),
    Column("task", String, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("ttft_s", Float),
    Column("seconds", Float),
    Index("requests_at", "at"),
    Index("requests_status", "status"),
)


def url(where: Path | str) -> str:
    """The database of a run folder, or the URL as it is."""
    return where if isinstance(where, str) and "://" in where else f"sqlite:///{Path(where).resolve() / 'eke.db'}"


def connect(where: Path | str) -> Engine:
    """Open the database of a run folder (or a URL), made and brought up to date if need be."""
    engine = create_engine(url(where))
    if engine.dialect.name == "sqlite":
        Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    if not _current(engine):
        _upgrade(engine)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that takes the write lock at once, so that it never fails half-way for another writer."""
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        yield connection


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], where: Any = None) -> None:
    """Insert rows, or replace those with the same key where `where(table, incoming row)` allows it."""
    if not rows:
        return
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    insert = dialect.insert(table)
    keys = [c.name for c in table.primary_key]
    fresh = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in keys}
    allowed = where(table, insert.excluded) if where else None
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=fresh, where=allowed), list(rows))


def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    for pragma in (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _current(engine: Engine) -> bool:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        version = Table("alembic_version", MetaData(), Column("version_num", String))
        return connection.scalar(select(version.c.version_num)) == SCHEMA


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)  # not a word when all goes well
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with _alone(engine), writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """One process at a time changes the schema of a file; a server's own locks do for the rest."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield
        return
    with Path(f"{engine.url.database}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
