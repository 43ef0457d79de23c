"""What jobs do and took, and what passes through networks take: for estimates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_23_estimates"
down_revision = "2026_11_23_sharing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("work", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("jobs", sa.Column("taken", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_table(
        "networks",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("network", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "rates",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("software", sa.Text(), nullable=False),
        sa.Column("rates", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["networks.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "host", "device"),
    )


def downgrade() -> None:
    op.drop_table("rates")
    op.drop_table("networks")
    op.drop_column("jobs", "taken")
    op.drop_column("jobs", "work")
