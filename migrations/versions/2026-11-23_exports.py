"""Uploads; finding a dataset's exports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_exports"
down_revision = "2026_11_23_shards"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "exports",
        "jobs",
        [sa.text("((spec -> 'dataset'::text) ->> 'name'::text)")],
        postgresql_where=sa.text("kind = 'export'"),
    )

    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"]),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_uploads_owner_id"), "uploads", ["owner_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_uploads_owner_id"), table_name="uploads")
    op.drop_table("uploads")
    op.drop_index("exports", "jobs")
