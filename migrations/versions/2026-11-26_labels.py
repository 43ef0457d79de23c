"""Labels of jobs in a table of their own, kept by triggers, so that the newest jobs with a label are found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_labels"
down_revision = "2026_11_26_answers"
branch_labels = None
depends_on = None

_NOTE = """
    create function note_labels() returns trigger language plpgsql as $$
    begin
        if tg_op = 'UPDATE' then
            delete from job_labels where job_id = new.id;
        end if;
        insert into job_labels (job_id, key, value, owner_id)
        select new.id, key, value, new.owner_id from jsonb_each_text(new.labels)
        on conflict (job_id, key) do update set value = excluded.value;
        return null;
    end
    $$
"""
"""A conflict: the jobs that there were before are noted by the next migration, in the middle of other work."""
_GIVEN = """
    create trigger labels_given after insert on jobs
    for each row when (new.labels <> '{}') execute function note_labels()
"""
_CHANGED = """
    create trigger labels_changed after update of labels on jobs
    for each row when (new.labels is distinct from old.labels) execute function note_labels()
"""


def upgrade() -> None:
    op.create_table(
        "job_labels",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "key"),
    )
    op.create_index("job_labels_newest", "job_labels", ["key", "value", "job_id"])
    op.create_index("job_labels_of_owner", "job_labels", ["owner_id", "key", "value", "job_id"])
    for statement in (_NOTE, _GIVEN, _CHANGED):
        op.execute(statement)


def downgrade() -> None:
    for statement in ("drop trigger labels_given on jobs", "drop trigger labels_changed on jobs"):
        op.execute(statement)
    op.execute("drop function note_labels()")
    op.drop_table("job_labels")
