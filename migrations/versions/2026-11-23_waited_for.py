"""Deadlines; which sorts of slot and which priorities are waited for, without looking at the queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_waited_for"
down_revision = "2026_11_23_holds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("run_seconds", sa.Double(), server_default="0", nullable=False))
    queued = sa.text("state = 'queued'")
    op.create_index("jobs_waited_for", "jobs", ["slot", "priority"], postgresql_where=queued)


def downgrade() -> None:
    op.drop_column("jobs", "run_seconds")
    op.drop_index("jobs_waited_for", table_name="jobs")
