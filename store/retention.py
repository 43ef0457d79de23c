"""Forgets what is kept too long of ended jobs: checkpoints, logs, events; and answers for who asks again.
Changes of state, metrics and files stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from store import idempotency
from store.database import Database
from store.lifecycle import TERMINAL
from store.settings import Settings
from store.tables import Event, Job, JobCheckpoint

LOGS = ("log",)
LASTING = ("state",)
"""Types of events that are never forgotten: the history of a job's states."""

_JOBS = 500
"""So many jobs in one transaction."""


@dataclass
class Forgotten:
    """What was let go."""

    checkpoints: int = 0
    logs: int = 0
    events: int = 0


def forget(database: Database, settings: Settings) -> Forgotten:
    """Let go what is older than the settings say, job by job. What it leaves without use, garbage collection takes."""
    with database.transaction() as session:
        idempotency.forget_old(session)
    done = Forgotten()
    is_log = Event.type.in_(LOGS)
    is_other = Event.type.not_in(LOGS + LASTING)
    while True:
        with database.transaction() as session:
            gone = (
                _checkpoints(session, settings.keep_checkpoints_days),
                _events(session, settings.keep_logs_days, is_log),
                _events(session, settings.keep_events_days, is_other),
            )
        done = Forgotten(done.checkpoints + gone[0], done.logs + gone[1], done.events + gone[2])
        if not any(gone):
            return done


def _checkpoints(session: Session, days: float) -> int:
    mine = JobCheckpoint.job_id == Job.id
    jobs = select(Job.id).where(_ended(days), exists().where(mine)).order_by(Job.id).limit(_JOBS).with_for_update()
    rows = delete(JobCheckpoint).where(JobCheckpoint.job_id.in_(session.scalars(jobs).all()))
    return len(session.execute(rows.returning(JobCheckpoint.job_id)).all())


def _events(session: Session, days: float, which: ColumnElement[bool]) -> int:
    mine = Event.job_id == Job.id
    jobs = select(Job.id).where(_ended(days), exists().where(mine, which)).order_by(Job.id).limit(_JOBS)
    rows = delete(Event).where(Event.job_id.in_(session.scalars(jobs).all()), which)
    return len(session.execute(rows.returning(Event.id)).all())


def _ended(days: float) -> ColumnElement[bool]:
    return Job.state.in_(TERMINAL) & (Job.finished_at < func.now() - timedelta(days=days))
