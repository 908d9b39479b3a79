"""The database: the schema is what the migrations make, and opening it is safe and cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from eke.runtime import database


def test_migrations_make_the_tables(tmp_path: Path) -> None:
    """A migrated database has exactly the tables the code declares."""
    engine = database.connect(tmp_path)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), database.metadata) == []
    engine.dispose()


def test_the_named_schema_is_the_newest() -> None:
    """The revision the fast path looks for is the last migration there is."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [database.SCHEMA]


def test_opening_again_needs_no_alembic(tmp_path: Path) -> None:
    """A database that is up to date is opened without importing the migration tool."""
    database.connect(tmp_path).dispose()
    code = f"import sys; from eke.runtime import database; database.connect({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('alembic' in sys.modules)"], check=False)
    assert done.returncode == 0


def test_many_may_open_a_new_one_at_once(tmp_path: Path) -> None:
    """Processes that open the same new database together all find it whole."""
    code = f"from eke.runtime.state import State; State({str(tmp_path / 'run')!r}).set_pressure(1, 1.0)"
    openers = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(4)]
    assert [opener.wait() for opener in openers] == [0, 0, 0, 0]


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    """While one transaction writes, another connection reads the state before it."""
    engine = database.connect(tmp_path)
    with database.writing(engine) as writer:
        writer.execute(text("INSERT INTO signals VALUES ('a', '1', 0)"))
        with engine.connect() as reader:
            assert reader.scalar(text("SELECT count(*) FROM signals")) == 0
    engine.dispose()


def test_a_url_stands_for_itself() -> None:
    """A folder becomes its SQLite file, a URL stays as it is."""
    assert database.url("postgresql://db/eke") == "postgresql://db/eke"
    assert database.url(Path("/x")) == "sqlite:////x/eke.db"
