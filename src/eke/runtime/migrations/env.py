"""What Alembic runs: upgrade the database it is handed, in one transaction."""

from __future__ import annotations

from alembic import context

from eke.runtime.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
