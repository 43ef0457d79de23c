"""Every filtered list of jobs is found in an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_lists"
down_revision = "2026_11_23_waited_for"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("jobs_in_state", table_name="jobs")
    op.create_index("jobs_in_state", "jobs", ["state", "kind", "id"])
    op.create_index("jobs_of_owner_in_state", "jobs", ["owner_id", "state", "kind", "id"])
    alone, labelled = sa.text("study_id is null"), sa.text("labels <> '{}'")
    op.create_index("jobs_in_no_study", "jobs", ["owner_id", "id"], postgresql_where=alone)
    op.create_index(
        "jobs_labelled",
        "jobs",
        ["labels"],
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=labelled,
    )


def downgrade() -> None:
    for name in ("jobs_labelled", "jobs_in_no_study", "jobs_of_owner_in_state", "jobs_in_state"):
        op.drop_index(name, table_name="jobs")
    op.create_index("jobs_in_state", "jobs", ["state", "id"])
