"""Look at jobs: one, pages, events, curves, files. What is not the viewer's does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    String,
    bindparam,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, defer

from store.catalogue import open_to, visible_to
from store.errors import NotFound
from store.ids import least_id
from store.lifecycle import State
from store.tables import Artifact, Dataset, Event, Job, Model, User

Shown = dict[str, Any]
"""What is shown of a job, by the names that answers have: at a third of what a mapped object costs."""

_IN_SHORT = select(
    *(Job.id, Job.kind, Job.name, Job.state, Job.status_code, Job.status_message, Job.retryable, Job.progress),
    *(Job.labels, Job.priority, Job.attention, User.name.label("owner"), Job.shared, Job.slot, Job.shards),
    *(Job.study_id.label("study"), Job.node, Job.shard_of),
    *(Job.created_at, Job.queued_at, Job.started_at, Job.finished_at),
).join(User, User.id == Job.owner_id)

_HISTORY = """
    select jsonb_agg(data || jsonb_build_object('at', at) order by id) from events
    where job_id = jobs.id and type = 'state'
"""

_WHOLE = _IN_SHORT.add_columns(
    *(Job.spec, Job.produces, Job.result),
    *(Job.max_queue_seconds.label("max_queue_time"), Job.max_run_seconds.label("max_run_time")),
    *(Job.gpu_seconds, Job.cpu_seconds, Job.joules, Job.failures),
    select(Dataset.id).where(Dataset.job_id == Job.id).scalar_subquery().label("dataset"),
    select(Model.id).where(Model.job_id == Job.id).scalar_subquery().label("model"),
    literal_column(f"({_HISTORY})", JSONB).label("state_history"),
).where(
    Job.id == bindparam("job"),
    or_(bindparam("everything", type_=Boolean), Job.owner_id == bindparam("viewer"), Job.shared),
)


def whole(session: Session, viewer: User, job_id: str) -> Shown:
    """One job as it is shown: what lists have of it, and the rest. `dataset` and `model` are what it made;
    `state_history` are its changes of state, oldest first: data of the events, and `at`.

    Raises:
        NotFound: there is none that the viewer may look at.
    """
    asked = {"job": job_id, "viewer": viewer.id, "everything": viewer.role == "admin"}
    found = _shown(session, _WHOLE, asked)
    if not found:
        raise NotFound("job", job_id)
    return found[0]


def _shown(session: Session, query: Select[*tuple[Any, ...]], values: Mapping[str, Any]) -> list[Shown]:
    found = session.connection().execute(query, values)
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found.all()]


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
) -> Sequence[Shown]:
    """Jobs in short, newest first. `owner` is a user's id, `before` the last id of the page before.

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
    asked = {
        "owner": ("owner_id = :owner", only),
        "since": ("id >= :since", since),
        "before": ("id < :before", before),
        "study": ("study_id = :study", study),
        "top_level": ("study_id is null and shard_of is null", top_level or None),
        "shared": ("shared", shared or None),
        "states": (f"state = any({_STATES})", _array(states)),
        "kinds": ("kind = any(:kinds)", list(kinds) or None),
    }
    values: dict[str, Any] = {name: value for name, (_, value) in asked.items() if value is not None}
    where = {name: asked[name][0] for name in values}
    if label is not None:
        statement = _labelled(where)
        values |= {"key": label[0], "value": label[1]}
    elif (states or kinds) and study is None and not shared:
        statement = _in_states(where)
        values |= {"states": _array(states or tuple(State)), "kinds": list(kinds) or None}
    else:
        statement = _LISTED.format(where=_all(where.values()))
    return _shown(session, _in_short(statement), {**values, "limit": limit})


@lru_cache(maxsize=256)
def _in_short(ids: str) -> Select[*tuple[Any, ...]]:
    written = [value for value in _WRITTEN if f":{value.key}" in ids]
    return _IN_SHORT.where(text(f"jobs.id in ({ids})").bindparams(*written)).order_by(Job.id.desc())


_WRITTEN: tuple[BindParameter[Any], ...] = (
    bindparam("limit", type_=Integer, literal_execute=True),
    *(bindparam(name, type_=String, literal_execute=True) for name in ("states", "key", "value")),
)
"""Written into the statement by SQLAlchemy, quoted: what is the best plan depends on these. PostgreSQL keeps a plan for
each; one for all of them would take 200 ms where a label is everybody's, and one for each request 0.5 ms to make."""
_STATES = "cast(:states as text[])"

_LISTED = "select id from jobs where {where} order by id desc limit :limit"

_IN_STATES = """
    with recursive there (state, kind) as (
        select state, (select min(kind) from jobs where {owned} and jobs.state = asked.state)
        from unnest({states}) as asked (state)
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


_LABELLED = """
    with near as materialized (
        select job_id as id from job_labels where {label} order by job_id desc limit 200
    ), found as materialized (
        select id from jobs join near using (id) where {where} order by id desc limit :limit
    ), more as (
        select (select count(*) from found) < :limit and (select count(*) from near) = 200 as wanted
    )
    select id from found where not (select wanted from more)
    union all
    select id from (
        select id from jobs where {where} and id in (select job_id from job_labels where {label})
        order by id desc
        limit :limit
    ) everywhere
    where (select wanted from more)
    order by id desc
    limit :limit
"""
"""The newest that have a label are at the end of a stretch of an index: everybody's (`job_labels_newest`), and each
owner's (`job_labels_of_owner`). Most lists are found among the newest 200. For others PostgreSQL chooses where to
begin, with the label or with the state, by how common each is."""


def _labelled(where: Mapping[str, str]) -> str:
    same = {"owner": "owner_id = :owner", "since": "job_id >= :since", "before": "job_id < :before"}
    label = _all(["key = :key", "value = :value", *(same[name] for name in same if name in where)])
    return _LABELLED.format(label=label, where=_all(where.values()))


def _in_states(where: Mapping[str, str]) -> str:
    rest = [condition for name, condition in where.items() if name not in ("states", "kinds")]
    return _IN_STATES.format(owned=where.get("owner", "true"), states=_STATES, where=_all(rest))


def _array(states: Sequence[str]) -> str | None:
    """As PostgreSQL writes an array; none of none. No state's name needs quotes."""
    return f"{{{','.join(states)}}}" if states else None


def _all(conditions: Iterable[str]) -> str:
    return " and ".join(conditions) or "true"


def children(session: Session, job: Job) -> list[Job]:
    """A study's jobs in the order of its graph; none for another job."""
    return list(session.scalars(select(Job).where(Job.study_id == job.id).order_by(Job.id)))


def events(session: Session, job_id: str, *, after: int = 0, limit: int = 1000) -> list[Event]:
    """A job's events with ids above `after`, oldest first."""
    query = select(Event).where(Event.job_id == job_id, Event.id > after).order_by(Event.id).limit(limit)
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
