"""Figures of the whole installation, counted in the database: the same from whichever process they are asked."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

RECENT = 1000
"""So many of the newest jobs count as recent."""

Counts = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Tally:
    """What there is at one moment; labels in the order of the fields' names."""

    jobs_by_state_and_kind: Counts
    queued_by_slot_and_priority: Counts
    oldest_queued_seconds: float
    stalled: float
    """Jobs that run and have made no progress for as long as the lab's policy says."""
    slots_by_host_and_whether_busy: Counts
    blob_bytes_by_state: Counts
    blobs_by_state: Counts
    database_bytes: float
    recent_wait_seconds: Counts
    """By quantile: from queue to last claim, of recent jobs."""


def tally(session: Session) -> Tally:
    """Count. A million jobs take some tenths of a second: ask every few seconds at the most."""
    return Tally(
        _counts(session, "select state, kind, count(*) from jobs group by 1, 2"),
        _counts(session, "select slot, priority::text, count(*) from jobs where state = 'queued' group by 1, 2"),
        _one(
            session, "select coalesce(extract(epoch from now() - min(queued_at)), 0) from jobs where state = 'queued'"
        ),
        _one(session, "select count(*) from jobs where state = 'running' and attention is not null"),
        _counts(
            session,
            """select host, case when slot ->> 'job' is null then 'no' else 'yes' end, count(*)
               from workers, jsonb_array_elements(slots -> 'slots') slot group by 1, 2""",
        ),
        _counts(session, "select state, sum(size) from blobs group by 1"),
        _counts(session, "select state, count(*) from blobs group by 1"),
        _one(session, "select pg_database_size(current_database())"),
        _counts(
            session,
            f"""select unnest(array['0.5', '0.9', '0.99']), unnest(percentile_cont(array[0.5, 0.9, 0.99])
                   within group (order by extract(epoch from started_at - coalesce(queued_at, created_at))))
               from (select started_at, queued_at, created_at from jobs where slot <> 'none' order by id desc
                     limit {RECENT}) recent
               where started_at >= coalesce(queued_at, created_at)""",
        ),
    )


def _counts(session: Session, query: str) -> Counts:
    return {tuple(row)[:-1]: float(row[-1]) for row in session.execute(text(query)) if row[-1] is not None}


def _one(session: Session, query: str) -> float:
    return float(session.execute(text(query)).scalar_one())
