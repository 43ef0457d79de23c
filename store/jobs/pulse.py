"""Has anything changed? Cheap enough to be asked every second by everybody who watches."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from store.tables import User

_OF_STUDY = text("""
    select concat(sum(last_event), ' ', max(progressed_at)) from jobs where id = :job or study_id = :job
""")

_OF_LAB = text("""
    select concat(
        (select sum(last_event) from jobs where state = 'running' and slot <> 'none'), ' ',
        (select count(*) from jobs where state = 'running'), ' ',
        (select max(id) from jobs), ' ',
        (select max(id) from jobs where owner_id = :viewer and state in ('failed', 'cancelled')), ' ',
        (select count(*) from jobs where owner_id = :viewer and state in ('queued', 'blocked', 'paused')), ' ',
        (select count(*) from workers), ' ', (select count(*) from holds), ' ', (select maintenance from policy))
""")


def of_study(session: Session, study_id: str) -> str:
    """Changes when something happens to a study or to one of its jobs."""
    return str(session.scalar(_OF_STUDY, {"job": study_id}))


def of_lab(session: Session, viewer: User) -> str:
    """Changes when jobs start, go on or end, come in, or change among the viewer's own; or slots come and go."""
    return str(session.scalar(_OF_LAB, {"viewer": viewer.id}))
