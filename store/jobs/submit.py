"""Take a job in: check its spec, expand a study into its jobs, write all of it or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.cards import KINDS, DatasetCard, JobKind, ModelCard
from core.errors import SpecRefused
from core.planning import check
from core.references import references, renamed
from core.work import Uncounted, Work
from sieve.specs import DatasetRef, JobRef, ModelRef, Spec
from store.catalogue import DatabaseCatalogue, dataset_json, model_json
from store.errors import IdempotencyConflict
from store.ids import new_id
from store.jobs.transition import decide
from store.lifecycle import TERMINAL, State
from store.limits import admit
from store.tables import Event, IdempotencyKey, Job, Json, Need, User


@dataclass(frozen=True)
class Submitted:
    """What a submission gave."""

    job: Job
    created: bool
    """False where an idempotency key found the job that it made before."""


@dataclass(frozen=True)
class PlannedJob:
    """One job of a plan. Its spec, and `needs`, name the others as `@node`."""

    node: str
    kind: JobKind
    spec: Spec
    produces: Json | None
    work: Work | str
    """Counted; or why it cannot be."""
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a spec stands for: one job alone, or a study and its jobs."""

    kind: JobKind
    spec: Spec
    produces: Json | None
    work: Work | str = ""
    """Of a job alone."""
    jobs: tuple[PlannedJob, ...] = field(default=())
    """A study's jobs, each after those that it needs; empty for a job alone."""


def plan(session: Session, *, owner: User, spec: Spec) -> Plan:
    """Check a spec wholly and say what it stands for. Writes nothing.

    Raises:
        SpecRefused: naming the field.
    """
    kind = KINDS.get(str(spec.kind), "/kind")  # type: ignore[attr-defined]
    if not kind.submittable:
        raise SpecRefused("/kind", f"a {kind.name} is made by the service, not submitted")
    catalogue = _PlanCatalogue(session, owner)
    for pointer, ref in references(spec):
        if isinstance(ref, JobRef) or ref.name.startswith("job_"):
            try:
                catalogue.job(ref)
            except SpecRefused as refused:
                raise refused.under(pointer) from None
    produces = _json(check(spec, catalogue))
    if kind.expand is None:
        return Plan(kind, spec, produces, _work(kind, spec, catalogue))
    jobs: list[PlannedJob] = []
    for node in kind.expand(spec):
        try:
            card = check(node.spec, catalogue)
        except SpecRefused as refused:
            raise SpecRefused("", f"its job {node.name} cannot be: {refused}") from None
        catalogue.planned[f"@{node.name}"] = card
        names = dict.fromkeys(ref.name for _, ref in references(node.spec))
        needs = tuple(name for name in names if name.startswith(("@", "job_")))
        child = KINDS.get(str(node.spec.kind))  # type: ignore[attr-defined]
        work = _work(child, node.spec, catalogue)
        jobs.append(PlannedJob(node.name, child, node.spec, _json(card), work, needs))
    return Plan(kind, spec, produces, jobs=tuple(jobs))


def submit(
    session: Session,
    *,
    owner: User,
    spec: Spec,
    name: str = "",
    labels: dict[str, Any] | None = None,
    priority: int = 0,
    max_queue_seconds: float | None = None,
    max_run_seconds: float | None = None,
    idempotency: tuple[str, str] | None = None,
) -> Submitted:
    """Write a job, or a study and its jobs, with their first events. Ring the bell once this is committed.

    Args:
        max_queue_seconds: cancelled if it has not started this long after it could; a study, if none of its jobs has.
        max_run_seconds: failed once it has run for this long; a study, once this long has passed since its start.
        idempotency: the client's key, and the sha256 of the body that it came with. Submissions with one key wait for
            each other.

    Raises:
        SpecRefused: naming the field.
        IdempotencyConflict: the key was used for another body.
        LimitReached: the owner may not have so many jobs waiting, or has no room for what they make.
    """
    if idempotency is not None and (before := _earlier(session, owner, idempotency)) is not None:
        return Submitted(before, created=False)
    planned = plan(session, owner=owner, spec=spec)
    admit(session, owner, len(planned.jobs) or 1)
    common: dict[str, Any] = {"owner_id": owner.id, "labels": labels or {}, "priority": priority}
    common["max_run_seconds"] = max_run_seconds
    if not planned.jobs:
        job = _job(new_id("job"), planned.kind, spec, planned.produces, planned.work, name=name, **common)
        job.max_queue_seconds = max_queue_seconds
        needs = dict.fromkeys(ref.name for _, ref in references(spec) if ref.name.startswith("job_"))
        _write(session, [(job, list(needs))])
    else:
        # Sorted, so that a study comes before its jobs and these keep the order of the graph.
        ids = sorted(new_id("job") for _ in range(len(planned.jobs) + 1))
        job = _job(ids[0], planned.kind, spec, None, "", name=name, **common)
        job.waiting_for, job.state, job.max_queue_seconds = 0, State.BLOCKED, max_queue_seconds
        _insert(session, [job])
        id_of = {f"@{child.node}": id for child, id in zip(planned.jobs, ids[1:], strict=True)}
        children: list[tuple[Job, list[str]]] = []
        for child in planned.jobs:
            linked = renamed(child.spec, lambda ref: id_of.get(ref, ref))
            own_id = id_of[f"@{child.node}"]
            row = _job(own_id, child.kind, linked, child.produces, child.work, name=child.node, **common)
            row.study_id, row.node = job.id, child.node
            children.append((row, [id_of.get(need, need) for need in child.needs]))
        _write(session, children)
    if idempotency is not None:
        key, body = idempotency
        session.add(IdempotencyKey(owner_id=owner.id, key=key, body_sha256=body, job_id=job.id))
    session.flush()
    return Submitted(job, created=True)


def _earlier(session: Session, owner: User, idempotency: tuple[str, str]) -> Job | None:
    """The job that this key made before; makes later submissions with the same key wait until this one is through."""
    key, body = idempotency
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{owner.id} {key}", 0))))
    found = session.get(IdempotencyKey, (owner.id, key))
    if found is None:
        return None
    if found.body_sha256 != body:
        raise IdempotencyConflict
    return session.get_one(Job, found.job_id)


def _job(
    id: str, kind: JobKind, spec: Spec, produces: Json | None, work: Work | str, *, name: str, **common: Any
) -> Job:
    values = spec.model_dump(mode="json")
    counted = None if isinstance(work, str) else work.model_dump(mode="json")
    return Job(id=id, kind=kind.name, name=name, spec=values, slot=kind.slot, produces=produces, work=counted, **common)


def _work(kind: JobKind, spec: Spec, catalogue: DatabaseCatalogue) -> Work | str:
    if kind.work is None:
        return f"how much work a {kind.name} is cannot be told"
    try:
        return kind.work(spec, catalogue)
    except Uncounted as uncounted:
        return str(uncounted)


def _write(session: Session, jobs: list[tuple[Job, list[str]]]) -> None:
    """Insert jobs with what they need; each starts queued, or blocked while something it needs is not there yet."""
    own = {job.id for job, _ in jobs}
    outside = {need for _, needs in jobs for need in needs if need not in own}
    succeeded: set[str] = set()
    if outside:
        decide(session)  # from here on none of them ends
        found = {row.id: row.state for row in session.execute(select(Job.id, Job.state).where(Job.id.in_(outside)))}
        for id in outside:
            state = found.get(id)
            if state is None:
                raise SpecRefused("", f"{id} was deleted meanwhile")
            if state in TERMINAL and state != State.SUCCEEDED:
                raise SpecRefused("", f"{id} ended {state} meanwhile")
            if state == State.SUCCEEDED:
                succeeded.add(id)
    for job, needs in jobs:
        job.waiting_for = len(set(needs) - succeeded)
        job.state = State.BLOCKED if job.waiting_for else State.QUEUED
        if job.state == State.QUEUED:
            job.queued_at = func.now()
    _insert(session, [job for job, _ in jobs])
    session.add_all(Need(job_id=job.id, needs_id=need) for job, needs in jobs for need in needs)


def _insert(session: Session, jobs: list[Job]) -> None:
    """Insert jobs, each with its first event."""
    for job in jobs:
        job.last_event = 1
    session.add_all(jobs)
    session.flush()
    session.add_all(Event(job_id=job.id, id=1, type="state", data={"from": None, "to": job.state}) for job in jobs)


def _json(card: DatasetCard | ModelCard | None) -> Json | None:
    if isinstance(card, DatasetCard):
        return {"dataset": dataset_json(card)}
    return {"model": model_json(card)} if isinstance(card, ModelCard) else None


class _PlanCatalogue(DatabaseCatalogue):
    """Knows also what the jobs of the study in hand will make."""

    def __init__(self, session: Session, viewer: User) -> None:
        super().__init__(session, viewer)
        self.planned: dict[str, DatasetCard | ModelCard | None] = {}

    def whole_dataset(self, ref: DatasetRef) -> DatasetCard:
        card = self.planned.get(ref.name)
        return card if isinstance(card, DatasetCard) else super().whole_dataset(ref)

    def model(self, ref: ModelRef) -> ModelCard:
        card = self.planned.get(ref.name)
        return card if isinstance(card, ModelCard) else super().model(ref)
