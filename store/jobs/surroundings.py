"""What stands around jobs: what they made, a study's jobs and files, logs, what went in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from store.jobs.read import Shown
from store.lifecycle import TERMINAL, State
from store.tables import Artifact, Dataset, Event, Job, Json, Model, Need, User


@dataclass(frozen=True)
class Part:
    """One job of a study, or a share of a job, in short."""

    id: str
    kind: str
    node: str | None
    state: str
    progress: Json | None
    started_at: datetime | None


@dataclass(frozen=True)
class File:
    """A file that a job made, and that job's name in its study's graph."""

    artifact: Artifact
    node: str | None


def parts(session: Session, jobs: Iterable[Shown]) -> dict[str, list[Part]]:
    """The jobs of those among `jobs` that are studies, in the order of their graphs, and the shares of those that were
    shared out, by the id of the whole."""
    found: dict[str, list[Part]] = {job["id"]: [] for job in jobs if job["slot"] == "none" or job["shards"]}
    columns = (Job.id, Job.kind, Job.node, Job.state, Job.progress, Job.started_at)
    for whole in (Job.study_id, Job.shard_of) if found else ():
        query = select(whole.label("whole"), *columns).where(whole.in_(found)).order_by(Job.id)
        for row in session.execute(query):
            found[row.whole].append(Part(row.id, row.kind, row.node, row.state, row.progress, row.started_at))
    return found


def made(session: Session, job_id: str) -> dict[str, str]:
    """The dataset or model that a job made: {"dataset": "ds_…"} or {"model": "mdl_…"}."""
    dataset = select(literal("dataset"), Dataset.id).where(Dataset.job_id == job_id)
    model = select(literal("model"), Model.id).where(Model.job_id == job_id)
    return {what: id for what, id in session.execute(union_all(dataset, model))}


def files(session: Session, job: Job) -> list[File]:
    """A job's files; of a study, those of all its jobs, in the order of its graph."""
    query = select(Artifact, Job.node).join(Job, Job.id == Artifact.job_id)
    query = query.where(or_(Artifact.job_id == job.id, Job.study_id == job.id))
    return [File(artifact, node) for artifact, node in session.execute(query.order_by(Job.id, Artifact.name))]


def used(session: Session, job: Shown) -> dict[str, Any]:
    """`gpu_seconds`, `cpu_seconds` and `joules` of a job; of a study, of all its jobs."""
    names = ("gpu_seconds", "cpu_seconds", "joules")
    if job["slot"] != "none":
        return {name: job[name] for name in names}
    query = select(func.sum(Job.gpu_seconds), func.sum(Job.cpu_seconds), func.sum(Job.joules))
    return dict(zip(names, session.execute(query.where(Job.study_id == job["id"])).one(), strict=True))


def log(session: Session, job_id: str, *, last: int | None = None) -> list[Event]:
    """A job's lines of log, oldest first; of them the `last` ones."""
    lines = select(Event).where(Event.job_id == job_id, Event.type == "log")
    if last is None:
        return list(session.scalars(lines.order_by(Event.id)))
    return list(session.scalars(lines.order_by(Event.id.desc()).limit(last)))[::-1]


def lines_of_log(session: Session, job_id: str) -> int:
    """How many there are."""
    return session.scalar(select(func.count()).where(Event.job_id == job_id, Event.type == "log")) or 0


def ended(session: Session, job_id: str) -> str | None:
    """The state in which a job has ended; None while it has not. Cheap: for whoever asks again and again."""
    return session.scalar(select(case((Job.state.in_(TERMINAL), Job.state))).where(Job.id == job_id))


def running(session: Session, job_ids: Collection[str | None]) -> dict[str, tuple[Job, str]]:
    """Those of these jobs that run, each with its owner's name."""
    query = select(Job, User.name).join(User, User.id == Job.owner_id)
    query = query.where(Job.id.in_(filter(None, job_ids)), Job.state == State.RUNNING)
    return {job.id: (job, owner) for job, owner in session.execute(query)}


def artifacts(session: Session, ids: Collection[str]) -> dict[str, Artifact]:
    """Files by id."""
    return {row.id: row for row in session.scalars(select(Artifact).where(Artifact.id.in_(ids)))}


def specs(session: Session, job_ids: Collection[str]) -> dict[str, Json]:
    """What was asked of jobs, by id."""
    rows = session.execute(select(Job.id, Job.spec).where(Job.id.in_(job_ids)))
    return {row.id: row.spec for row in rows}


def now(session: Session) -> datetime:
    """The database's clock, which all stored times are by."""
    return session.scalars(select(func.now())).one()


def graph(session: Session, study_id: str) -> list[tuple[str, str]]:
    """What a study's jobs need of each other: (job, job that it needs)."""
    query = select(Need.job_id, Need.needs_id).join(Job, Job.id == Need.job_id).where(Job.study_id == study_id)
    return [(row.job_id, row.needs_id) for row in session.execute(query.order_by(Need.job_id, Need.needs_id))]


def results(session: Session, study_id: str, kind: str) -> dict[str, Json]:
    """Figures of a study's jobs of one kind that have succeeded, by node, in the order of its graph."""
    query = select(Job.node, Job.result).where(Job.study_id == study_id, Job.kind == kind, Job.result.is_not(None))
    return {row.node: row.result for row in session.execute(query.order_by(Job.id)) if row.node}
