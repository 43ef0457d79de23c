"""Jobs, and what hangs on them, from rows to answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from api import schemas
from store import tables
from store.jobs import read, surroundings
from store.jobs.read import Shown
from store.jobs.surroundings import File, Part
from store.lifecycle import TERMINAL, State


def job_rows(session: Session, jobs: Sequence[Shown]) -> list[schemas.JobRow]:
    """Jobs in short."""
    parts = surroundings.parts(session, jobs)
    return [schemas.JobRow.model_validate(_row(job, parts.get(job["id"], []))) for job in jobs]


def changed(session: Session, viewer: tables.User, job_id: str) -> schemas.Job:
    """A job, whole, with what this session has changed."""
    session.flush()
    return job(session, read.whole(session, viewer, job_id))


def job(session: Session, row: Shown) -> schemas.Job:
    """A job, whole, from `store.jobs.read.whole`."""
    parts = surroundings.parts(session, [row]).get(row["id"], [])
    rest = {
        "outputs": {what: row[what] for what in ("dataset", "model") if row[what] is not None},
        "children": [_child(part) for part in parts],
        "state_history": [data | {"state": data["to"]} for data in row["state_history"] or ()],
    }
    return schemas.Job.model_validate(_row(row, parts) | rest | surroundings.used(session, row))


def _row(row: Shown, parts: Sequence[Part]) -> dict[str, Any]:
    here = f"/v1/jobs/{row['id']}"
    reason = None
    if row["status_code"] is not None:
        message = row["status_message"] or ""
        reason = {"code": row["status_code"], "message": message, "retryable": row["retryable"]}
    urls = {
        "self": here,
        "events": f"{here}/events",
        "metrics": f"{here}/metrics",
        "logs": f"{here}/logs",
        "artifacts": f"{here}/artifacts",
        "cancel": f"{here}/cancel",
        "report": f"{here}/report" if row["slot"] == "none" else None,
    }
    progress = _summed_progress(row, parts) if parts else _said(row["progress"], row["state"])
    return {**row, "status_reason": reason, "progress": progress, "urls": urls}


def _child(part: Part) -> schemas.Child:
    return schemas.Child(id=part.id, kind=part.kind, node=part.node, state=State(part.state), progress=progress(part))


def progress(job: tables.Job | Part) -> schemas.Progress | None:
    """How far a job has said that it is."""
    said = _said(job.progress, job.state)
    return None if said is None else schemas.Progress.model_validate(said)


def _said(progress: tables.Json | None, state: str) -> tables.Json | None:
    if progress is not None and state == State.SUCCEEDED:  # its last step was not waited for
        return progress | {"step": progress["total"], "eta_seconds": None}
    return progress


def _summed_progress(whole: Shown, parts: Sequence[Part]) -> schemas.Progress:
    """Summed over a study's jobs or a job's shares, each worth 100 steps; the time left follows from the time taken."""
    step = sum(_hundredths(part) for part in parts)
    total = 100 * len(parts)
    done = sum(part.state == State.SUCCEEDED for part in parts)
    eta = None
    began = min((part.started_at for part in parts if part.started_at is not None), default=None)
    if any(part.state == State.RUNNING for part in parts) and began is not None and step:
        eta = (datetime.now(UTC) - began).total_seconds() * (total - step) / step
    phase = f"{done} of {len(parts)} {'shares' if whole['shards'] else 'jobs'}"
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
