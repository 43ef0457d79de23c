"""Sessions of the web page."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_page_sessions"
down_revision = "2026_11_23_exports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "page_sessions",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index(op.f("ix_page_sessions_key_id"), "page_sessions", ["key_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_page_sessions_key_id"), table_name="page_sessions")
    op.drop_table("page_sessions")
