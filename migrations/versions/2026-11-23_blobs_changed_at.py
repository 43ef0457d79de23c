"""When a blob was last published or marked: what garbage collection waits from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_blobs_changed_at"
down_revision = "2026_11_23_estimates"
branch_labels = None
depends_on = None


def upgrade() -> None:
    changed_at = sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    op.add_column("blobs", changed_at)


def downgrade() -> None:
    op.drop_column("blobs", "changed_at")
