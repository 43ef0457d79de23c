"""Shards: jobs that do a share of another one's blocks; checkpoints that only add to the one before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_shards"
down_revision = "2026_11_23_lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("continues", sa.BigInteger()))
    op.add_column("jobs", sa.Column("shard_of", sa.Text()))
    op.add_column("jobs", sa.Column("shards", sa.BigInteger(), server_default="0", nullable=False))
    op.create_foreign_key(None, "jobs", "jobs", ["shard_of"], ["id"], ondelete="CASCADE")
    op.create_index("jobs_shard_of", "jobs", ["shard_of"], postgresql_where=sa.text("shard_of is not null"))


def downgrade() -> None:
    op.drop_index("jobs_shard_of", table_name="jobs")
    op.drop_constraint("jobs_shard_of_fkey", "jobs", type_="foreignkey")
    op.drop_column("jobs", "shards")
    op.drop_column("jobs", "shard_of")
    op.drop_column("checkpoints", "continues")
