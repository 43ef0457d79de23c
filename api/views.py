"""Jobs, and what hangs on them, from rows to answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from api import schemas
from store import tables
from store.jobs import read, surroundings
from store.jobs.surroundings import File, Part
from store.lifecycle import TERMINAL, State


def job_rows(session: Session, jobs: Sequence[tables.Job]) -> list[schemas.JobRow]:
    """Jobs in short."""
    names = surroundings.owners(session, (job.owner_id for job in jobs))
    parts = surroundings.parts(session, jobs)
    return [schemas.JobRow(**_row(job, names[job.owner_id], parts.get(job.id, []))) for job in jobs]


def job(session: Session, row: tables.Job) -> schemas.Job:
    """A job, whole."""
    parts = surroundings.parts(session, [row]).get(row.id, [])
    owner = surroundings.owners(session, [row.owner_id])[row.owner_id]
    return schemas.Job(
        **_row(row, owner, parts),
        spec=row.spec,
        produces=row.produces,
        result=row.result,
        outputs=surroundings.made(session, row.id),
        children=[_child(part) for part in parts],
        state_history=[_change(event) for event in read.state_history(session, row.id)],
        max_queue_time=row.max_queue_seconds,
        max_run_time=row.max_run_seconds,
        **surroundings.used(session, row),
        failures=row.failures,
    )


def _row(row: tables.Job, owner: str, parts: Sequence[Part]) -> dict[str, Any]:
    reason = None
    if row.status_code is not None:
        reason = schemas.StatusReason(
            code=row.status_code, message=row.status_message or "", retryable=bool(row.retryable)
        )
    here = f"/v1/jobs/{row.id}"
    urls = schemas.Urls(
        self=here,
        **{name: f"{here}/{name}" for name in ("events", "metrics", "logs", "artifacts", "cancel")},
        report=f"{here}/report" if row.slot == "none" else None,
    )
    return {
        "id": row.id,
        "kind": row.kind,
        "name": row.name,
        "state": row.state,
        "status_reason": reason,
        "progress": _summed_progress(row, parts) if parts else progress(row),
        "labels": row.labels,
        "priority": row.priority,
        "attention": row.attention,
        "owner": owner,
        "shared": row.shared,
        "study": row.study_id,
        "node": row.node,
        "shard_of": row.shard_of,
        "created_at": row.created_at,
        "queued_at": row.queued_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "urls": urls,
    }


def _child(part: Part) -> schemas.Child:
    return schemas.Child(id=part.id, kind=part.kind, node=part.node, state=State(part.state), progress=progress(part))


def _change(event: tables.Event) -> schemas.StateChange:
    data = event.data
    return schemas.StateChange(state=data["to"], at=event.at, code=data.get("code"), message=data.get("message"))


def progress(job: tables.Job | Part) -> schemas.Progress | None:
    """How far a job has said that it is."""
    if job.progress is None:
        return None
    said = schemas.Progress.model_validate(job.progress)
    if job.state == State.SUCCEEDED:  # its last step was not waited for
        said.step, said.eta_seconds = said.total, None
    return said


def _summed_progress(whole: tables.Job, parts: Sequence[Part]) -> schemas.Progress:
    """Summed over a study's jobs or a job's shares, each worth 100 steps; the time left follows from the time taken."""
    step = sum(_hundredths(part) for part in parts)
    total = 100 * len(parts)
    done = sum(part.state == State.SUCCEEDED for part in parts)
    eta = None
    began = min((part.started_at for part in parts if part.started_at is not None), default=None)
    if any(part.state == State.RUNNING for part in parts) and began is not None and step:
        eta = (datetime.now(UTC) - began).total_seconds() * (total - step) / step
    phase = f"{done} of {len(parts)} {'shares' if whole.shards else 'jobs'}"
    return schemas.Progress(phase=phase, step=step, total=total, eta_seconds=eta)


def _hundredths(part: Part) -> int:
    if State(part.state) in TERMINAL:
        return 100
    said = progress(part)
    return 100 * min(said.step, said.total) // said.total if said and said.total else 0


def event(row: tables.Event) -> schemas.Event:
    """An event."""
    return schemas.Event(id=row.id, type=row.type, data=row.data, at=row.at)


def artifact(file: File) -> schemas.Artifact:
    """A file that a job made."""
    row = file.artifact
    return schemas.Artifact(
        id=row.id,
        job=row.job_id,
        node=file.node,
        name=row.name,
        role=row.role,
        media_type=row.media_type,
        sha256=row.sha256,
        size=row.size,
        created_at=row.created_at,
        url=f"/v1/artifacts/{row.id}",
    )
