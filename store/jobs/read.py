"""Look at jobs: one, pages, events, curves, files. What is not the viewer's does not exist."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import Session, defer

from store.catalogue import open_to, visible_to
from store.errors import NotFound
from store.ids import least_id
from store.lifecycle import State
from store.tables import Artifact, Event, Job, User


def get(session: Session, viewer: User, job_id: str) -> Job:
    """One job, to look at. Raises `NotFound`."""
    return _one(session, job_id, open_to(viewer, Job))


def own(session: Session, viewer: User, job_id: str) -> Job:
    """One job, to change it: what others share is not meant. Raises `NotFound`."""
    return _one(session, job_id, visible_to(viewer, Job.owner_id))


def _one(session: Session, job_id: str, which: ColumnElement[bool]) -> Job:
    job = session.scalar(select(Job).where(Job.id == job_id, which))
    if job is None:
        raise NotFound("job", job_id)
    return job


def page(
    session: Session,
    viewer: User,
    *,
    states: Sequence[str] = (),
    kinds: Sequence[str] = (),
    owner: str | None = None,
    label: tuple[str, str] | None = None,
    study: str | None = None,
    top_level: bool = False,
    shared: bool = False,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs, newest first, without what only a whole job shows (spec, result). `owner` is a user's id, `before` the last
    id of the page before.

    With `study`, only that study's jobs; with `top_level`, only jobs that are part of no study or larger job; with
    `shared`, what anybody shares with the lab, instead of the viewer's own.
    """
    only = owner if shared or viewer.role == "admin" else viewer.id
    if owner is not None and only != owner:
        return []
    if created_after is not None or created_before is not None:
        since, until = (None if at is None else least_id("job", at) for at in (created_after, created_before))
        before = min(filter(None, (before, until)), default=None)
    else:
        since = None
    where = {
        "owner_id = :owner": ("owner", only),
        "labels <> '{}' and labels @> cast(:label as jsonb)": ("label", label and json.dumps({label[0]: label[1]})),
        "study_id = :study": ("study", study),
        "study_id is null and shard_of is null": ("top_level", top_level or None),
        "shared": ("shared", shared or None),
        "id >= :since": ("since", since),
        "id < :before": ("before", before),
    }
    given = {condition: value for condition, value in where.items() if value[1] is not None}
    values: dict[str, Any] = {name: value for name, value in given.values() if name not in ("top_level", "shared")}
    conditions = " and ".join(given) or "true"
    statement = _LISTED.format(where=conditions)
    if (states or kinds) and label is None and study is None and not shared:
        owned = "owner_id = :owner" if only is not None else "true"
        statement = _LISTED_BY_STATE_AND_KIND.format(where=conditions, owned=owned)
        values |= {"states": list(states) or list(State), "kinds": list(kinds) or None}
    elif states or kinds:
        conditions += " and state = any(:states)" if states else ""
        conditions += " and kind = any(:kinds)" if kinds else ""
        statement = _LISTED.format(where=conditions)
        values |= {"states": list(states), "kinds": list(kinds)}
    ids = text(statement).columns(Job.id)
    whole = (defer(column) for column in (Job.spec, Job.result, Job.produces, Job.work, Job.taken))
    query = select(Job).where(Job.id.in_(ids.subquery().select())).order_by(Job.id.desc()).options(*whole)
    return list(session.scalars(query, {**values, "limit": limit}))


_LISTED = "select id from jobs where {where} order by id desc limit :limit"

_LISTED_BY_STATE_AND_KIND = """
    with recursive there (state, kind) as (
        select state, (select min(kind) from jobs where {owned} and jobs.state = asked.state)
        from unnest(cast(:states as text[])) as asked (state)
        union all
        select state, (select min(kind) from jobs where {owned} and jobs.state = there.state and kind > there.kind)
        from there
        where kind is not null
    )
    select found.id
    from there
    cross join lateral (
        select id from jobs
        where {where} and jobs.state = there.state and jobs.kind = there.kind
        order by id desc
        limit :limit
    ) found
    where cast(:kinds as text[]) is null or kind = any(cast(:kinds as text[]))
    order by found.id desc
    limit :limit
"""
"""The newest of each state and kind that there are, and of these the newest: each is found at the end of its stretch of
an index (`jobs_in_state`, `jobs_of_owner_in_state`), however rare or common it is."""


def children(session: Session, job: Job) -> list[Job]:
    """A study's jobs in the order of its graph; none for another job."""
    return list(session.scalars(select(Job).where(Job.study_id == job.id).order_by(Job.id)))


def events(session: Session, job_id: str, *, after: int = 0, limit: int = 1000) -> list[Event]:
    """A job's events with ids above `after`, oldest first."""
    query = select(Event).where(Event.job_id == job_id, Event.id > after).order_by(Event.id).limit(limit)
    return list(session.scalars(query))


def state_history(session: Session, job_id: str) -> list[Event]:
    """A job's changes of state, oldest first."""
    query = select(Event).where(Event.job_id == job_id, Event.type == "state").order_by(Event.id)
    return list(session.scalars(query))


def metrics(
    session: Session, job_id: str, *, names: Sequence[str] = (), points: int = 1000
) -> dict[str, list[tuple[int, float]]]:
    """A job's curves, each thinned evenly to about `points` points; first and last are always among them."""
    rows = session.execute(
        text("""
            select name, step, value
            from (
                select name, step, value,
                       row_number() over (partition by name order by step) - 1 as place,
                       count(*) over (partition by name) as total
                from metrics
                where job_id = :job and (cast(:names as text[]) is null or name = any(cast(:names as text[])))
            ) numbered
            where place % greatest(1, ceil(total / cast(:points as double precision))::bigint) = 0 or place = total - 1
            order by name, step
        """),
        {"job": job_id, "names": list(names) or None, "points": points},
    )
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, step, value in rows:
        curves.setdefault(name, []).append((step, value))
    return curves


def artifacts(session: Session, job_id: str) -> list[Artifact]:
    """A job's files, by name."""
    return list(session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)))


def artifact(session: Session, viewer: User, artifact_id: str) -> Artifact:
    """One file. Raises `NotFound`."""
    query = select(Artifact).join(Job, Job.id == Artifact.job_id)
    found = session.scalar(query.where(Artifact.id == artifact_id, open_to(viewer, Job)))
    if found is None:
        raise NotFound("artifact", artifact_id)
    return found


def some(session: Session, viewer: User, job_ids: Sequence[str]) -> list[Job]:
    """Those of these jobs that the viewer may see, in short, in the order of their ids."""
    query = select(Job).where(Job.id.in_(job_ids), open_to(viewer, Job)).order_by(Job.id)
    whole = (defer(column) for column in (Job.spec, Job.result, Job.produces, Job.work, Job.taken))
    return list(session.scalars(query.options(*whole)))


def evaluations(session: Session, viewer: User, models: Sequence[str], *, limit: int) -> list[Job]:
    """Evaluations of a model that have succeeded, newest first. `models`: the names it goes by."""
    query = select(Job).where(
        Job.kind == "evaluate",
        Job.state == State.SUCCEEDED,
        Job.spec["model"]["name"].astext.in_(models),
        open_to(viewer, Job),
    )
    return list(session.scalars(query.order_by(Job.id.desc()).limit(limit)))
