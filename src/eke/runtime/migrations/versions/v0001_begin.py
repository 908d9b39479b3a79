"""The four tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "tasks",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
    )
    op.create_table(
        "processes",
        sa.Column("task", sa.String, primary_key=True),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("started", sa.Float),
        sa.Column("port", sa.Integer),
        sa.Column("cpus", sa.JSON, nullable=False),
        sa.Column("grace_s", sa.Float, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("restarts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.Float, nullable=False),
        sa.Column("error", sa.String, nullable=False),
    )
    op.create_table(
        "signals",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("app", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("ttft_s", sa.Float),
        sa.Column("seconds", sa.Float),
    )
    op.create_index("requests_at", "requests", ["at"])
    op.create_index("requests_status", "requests", ["status"])


def downgrade() -> None:
    """Drop them."""
    for table in ("requests", "signals", "processes", "tasks"):
        op.drop_table(table)
