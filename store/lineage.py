"""Where what a job made comes from: its spec, what that was given, and what it ran on."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.planning import parse
from core.references import references
from store.jobs.surroundings import input_hashes, made
from store.tables import Event, Job, Json


def story(session: Session, job_id: str) -> Json:
    """The provenance of what a job made, as `core.context.Inputs.provenance` describes it."""
    job = session.get_one(Job, job_id)
    names = {ref.name for _, ref in references(parse(job.spec))}
    ran = _environment(session, job_id)
    return {
        **made(session, job_id),
        "job": job_id,
        "spec": job.spec,
        "seed": job.spec.get("seed"),
        "inputs": input_hashes(session, names),
        "software": ran.get("versions", {}),
        "hardware": {name: ran[name] for name in ("device", "threads") if name in ran},
    }


def _environment(session: Session, job_id: str) -> Json:
    """What the attempt that finished the job said of itself at its start."""
    started = select(Event.data).where(Event.job_id == job_id, Event.type == "started")
    return session.scalar(started.order_by(Event.id.desc()).limit(1)) or {}
