"""Give a free slot its next job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func
from sqlalchemy.orm import Session

from store.fairness import NEXT
from store.jobs.transition import decide, move
from store.lifecycle import State
from store.tables import Job, Json


@dataclass(frozen=True)
class Claim:
    """An attempt's right to a job: `fence` guards every write of it."""

    job_id: str
    fence: int
    kind: str
    spec: Json
    failures: int


def claim(session: Session, *, worker_id: str, takes: Sequence[str], lease_seconds: float) -> Claim | None:
    """Take the best next job for a slot, or None where nothing waits for one.

    Args:
        takes: sorts of job (`cpu`, `accelerator`) that the slot takes, the preferred first.
    """
    wanted = {"takes": list(takes)}
    if session.execute(NEXT, wanted).one_or_none() is None:
        return None  # an idle slot's look holds up nobody
    decide(session)
    head = session.execute(NEXT, wanted).one_or_none()
    if head is None:
        return None
    if head.study_id is not None:
        study = session.get_one(Job, head.study_id, with_for_update=True)
        if study.state != State.RUNNING:
            move(session, study, State.RUNNING)
    job = session.get_one(Job, head.id, with_for_update=True)
    job.fence += 1
    job.worker_id = worker_id
    job.lease_until = func.now() + timedelta(seconds=lease_seconds)
    move(session, job, State.RUNNING)
    session.flush()
    return Claim(job.id, job.fence, job.kind, job.spec, job.failures)
