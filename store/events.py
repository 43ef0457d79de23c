"""Events of a job. Ids count per job and are given out under the job's row lock.

So a reader that has seen event n and asks for what came after it misses nothing: n + 1 is never committed before n.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from store.tables import Event, Job


def append(session: Session, job: Job, type: str, data: dict[str, Any]) -> Event:
    """Add an event. `job` must be locked (`for update`) by this transaction."""
    job.last_event += 1
    event = Event(job_id=job.id, id=job.last_event, type=type, data=data)
    session.add(event)
    return event
