"""The labels of the jobs that there were, noted while others work; the queue's index holds all that the queue shows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_labels_noted"
down_revision = "2026_11_26_labels"
branch_labels = None
depends_on = None

_UP_TO = sa.text("""
    select max(id) from (
        select id from jobs where labels <> '{}' and id > :last order by id limit 10000
    ) batch
""")
_BATCH = sa.text("""
    insert into job_labels (job_id, key, value, owner_id)
    select id, key, value, owner_id
    from (
        select id, owner_id, labels from jobs where labels <> '{}' and id > :last and id <= :up_to for key share
    ) batch, jsonb_each_text(labels)
    on conflict do nothing
""")
"""A few at a time: what is noted of a job holds it until the commit, and a slot that wants it would take another. Who
deletes one is waited for: what is gone has no labels."""
_TAKEN_AWAY = """
    delete from job_labels using jobs
    where jobs.id = job_id and not jobs.labels @> jsonb_build_object(key, value)
"""
"""Labels that were taken away from a job just when it was noted."""


def upgrade() -> None:
    """Done twice, as after an end in the middle, it does the same."""
    with op.get_context().autocommit_block():
        jobs, last = op.get_bind(), ""
        while (up_to := jobs.scalar(_UP_TO, {"last": last})) is not None:
            jobs.execute(_BATCH, {"last": last, "up_to": up_to})
            last = up_to
        op.execute("drop index concurrently if exists jobs_in_line")
        op.create_index(
            "jobs_in_line",
            "jobs",
            ["owner_id", "slot", sa.text("priority desc"), "queued_at", "id"],
            postgresql_include=["kind"],
            postgresql_where=sa.text("state = 'queued'"),
            postgresql_concurrently=True,
        )
        op.execute(_TAKEN_AWAY)  # whoever was writing to a job before that index was there has ended
        for name in ("jobs_to_claim", "jobs_labelled"):
            op.execute(f"drop index concurrently if exists {name}")


def downgrade() -> None:
    op.create_index(
        "jobs_to_claim",
        "jobs",
        ["owner_id", "slot", sa.text("priority desc"), "queued_at", "id"],
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "jobs_labelled",
        "jobs",
        ["labels"],
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("labels <> '{}'"),
    )
    op.drop_index("jobs_in_line", table_name="jobs")
