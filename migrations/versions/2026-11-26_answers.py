"""Answers that are given again to who repeats a request: of every POST, not of submissions alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_26_answers"
down_revision = "2026_11_26_provenance"
branch_labels = None
depends_on = None

WITHOUT_JOB = sa.text("job_id is null")


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("answer", postgresql.JSONB(none_as_null=True), nullable=True))
    op.alter_column("idempotency_keys", "job_id", nullable=True)
    op.create_index("idempotency_answers", "idempotency_keys", ["created_at"], postgresql_where=WITHOUT_JOB)


def downgrade() -> None:
    op.drop_index("idempotency_answers", table_name="idempotency_keys")
    op.execute("delete from idempotency_keys where job_id is null")
    op.alter_column("idempotency_keys", "job_id", nullable=False)
    op.drop_column("idempotency_keys", "answer")
