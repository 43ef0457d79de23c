"""What a file was made with and of, kept beside it; of files made before, what the events of their jobs still tell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_26_provenance"
down_revision = "2026_11_26_interface"
branch_labels = None
depends_on = None

_BACKFILL = """
    update artifacts set provenance = jsonb_build_object(
        'software', coalesce(told.data -> 'versions', '{}'),
        'hardware', jsonb_strip_nulls(jsonb_build_object('device', told.data -> 'device',
                                                         'threads', told.data -> 'threads'))
    )
    from (
        select distinct on (job_id) job_id, data from events where type = 'started' order by job_id, id desc
    ) told
    where told.job_id = artifacts.job_id
"""


def upgrade() -> None:
    op.add_column("artifacts", sa.Column("provenance", postgresql.JSONB(none_as_null=True), nullable=True))
    op.execute(_BACKFILL)


def downgrade() -> None:
    op.drop_column("artifacts", "provenance")
