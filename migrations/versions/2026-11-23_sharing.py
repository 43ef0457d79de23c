"""Sharing: accounts, the lab's policy, usage, deadlines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_sharing"
down_revision = "2026_11_23"
branch_labels = None
depends_on = None

_OF_JOBS = [
    sa.Column("max_queue_seconds", sa.Double()),
    sa.Column("max_run_seconds", sa.Double()),
    sa.Column("attention", sa.Text()),
    sa.Column("place", sa.Text()),
    sa.Column("device", sa.Text()),
    sa.Column("attempt_at", sa.DateTime(timezone=True)),
    sa.Column("progressed_at", sa.DateTime(timezone=True)),
    sa.Column("charged_at", sa.DateTime(timezone=True)),
    sa.Column("gpu_seconds", sa.Double(), server_default="0", nullable=False),
    sa.Column("cpu_seconds", sa.Double(), server_default="0", nullable=False),
    sa.Column("joules", sa.Double()),
]


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("usage", sa.Double(), server_default="0", nullable=False),
        sa.Column("usage_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("running", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("week", sa.DateTime(timezone=True)),
        sa.Column("week_gpu_seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("max_running", sa.BigInteger()),
        sa.Column("max_queued", sa.BigInteger()),
        sa.Column("max_gpu_hours", sa.Double()),
        sa.Column("max_storage", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("maintenance", sa.Text()),
        sa.Column("half_life_hours", sa.Double(), server_default="168", nullable=False),
        sa.Column("cpu_rate", sa.Double(), server_default="0.1", nullable=False),
        sa.Column("max_running", sa.BigInteger()),
        sa.Column("max_queued", sa.BigInteger(), server_default="10000"),
        sa.Column("max_gpu_hours", sa.Double()),
        sa.Column("max_storage", sa.BigInteger()),
        sa.Column("preemption", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("short_seconds", sa.Double(), server_default="900", nullable=False),
        sa.Column("least_run_seconds", sa.Double(), server_default="300", nullable=False),
        sa.Column("stall_minutes", sa.Double(), server_default="30"),
        sa.CheckConstraint("id = 1"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("insert into policy (id) values (1)")
    op.create_table(
        "usage",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("gpu_seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("cpu_seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("joules", sa.Double(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "day"),
    )
    for column in _OF_JOBS:
        op.add_column("jobs", column)
    # Attempts that run during the upgrade are counted, and charged from now on.
    op.execute("update jobs set attempt_at = now(), charged_at = now() where state = 'running' and slot <> 'none'")
    op.execute("""
        insert into accounts (user_id, running)
        select id, (select count(*) from jobs where owner_id = users.id and state = 'running' and slot <> 'none')
        from users
    """)


def downgrade() -> None:
    op.execute("update jobs set wish = null where wish in ('preempt', 'expire')")
    for column in _OF_JOBS:
        op.drop_column("jobs", column.name)
    op.drop_table("usage")
    op.drop_table("policy")
    op.drop_table("accounts")
