"""Take a job in: check its spec, expand a study into its jobs, write all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.bounds import refuse_absurd
from core.cards import KINDS, DatasetCard, JobKind, ModelCard
from core.errors import SpecRefused
from core.planning import check
from core.references import references, renamed
from core.work import Uncounted, Work
from sieve.specs import DatasetRef, JobRef, ModelRef, Spec
from store import idempotency as idempotency_keys
from store.catalogue import DatabaseCatalogue, dataset_json, model_json
from store.errors import IdempotencyConflict
from store.ids import new_id
from store.jobs.shards import Shards, refuse_unless_shareable, shard_jobs, shares
from store.jobs.transition import decide
from store.lifecycle import TERMINAL, State
from store.limits import admit
from store.tables import Event, Job, Json, Need, User


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
    shares: int = 1
    """How many jobs its blocks are shared out among."""


@dataclass(frozen=True)
class Plan:
    """What a spec stands for: one job alone, or a study and its jobs."""

    kind: JobKind
    spec: Spec
    produces: Json | None
    work: Work | str = ""
    """Of a job alone."""
    shares: int = 1
    """Of a job alone: as of a planned one."""
    jobs: tuple[PlannedJob, ...] = field(default=())
    """A study's jobs, each after those that it needs; empty for a job alone."""


def plan(session: Session, *, owner: User, spec: Spec, shards: Shards = 1) -> Plan:
    """Check a spec wholly and say what it stands for. Writes nothing. `shards` as of `submit`.

    Raises:
        SpecRefused: naming the field.
    """
    kind = KINDS.get(str(spec.kind), "/kind")  # type: ignore[attr-defined]
    if not kind.submittable:
        raise SpecRefused("/kind", f"a {kind.name} is made by the service, not submitted")
    refuse_unless_shareable(shards, spec)
    catalogue = _PlanCatalogue(session, owner)

    def shares_of(kind: JobKind, spec: Spec) -> int:
        return 1 if kind.blocks is None or shards == 1 else shares(session, shards, kind.blocks(spec, catalogue))

    for pointer, ref in references(spec):
        if isinstance(ref, JobRef) or ref.name.startswith("job_"):
            try:
                catalogue.job(ref)
            except SpecRefused as refused:
                raise refused.under(pointer) from None
    produces = _json(check(spec, catalogue))
    if kind.expand is None:
        return Plan(kind, spec, produces, _work(kind, spec, catalogue), shares_of(kind, spec))
    jobs: list[PlannedJob] = []
    for node in kind.expand(spec):
        child = KINDS.get(str(node.spec.kind))  # type: ignore[attr-defined]
        try:
            card = check(node.spec, catalogue)
            catalogue.planned[f"@{node.name}"] = card
            work = _work(child, node.spec, catalogue)
        except SpecRefused as refused:
            raise SpecRefused("", f"its job {node.name} cannot be: {refused}") from None
        names = dict.fromkeys(ref.name for _, ref in references(node.spec))
        needs = tuple(name for name in names if name.startswith(("@", "job_")))
        jobs.append(PlannedJob(node.name, child, node.spec, _json(card), work, needs, shares_of(child, node.spec)))
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
    shards: Shards = 1,
    idempotency: tuple[str, str] | None = None,
) -> Submitted:
    """Write a job, or a study and its jobs, with their first events. Ring the bell once this is committed.

    Args:
        max_queue_seconds: cancelled if it has not started this long after it could; a study, if none of its jobs has.
        max_run_seconds: failed once it has run for this long; a study, once this long has passed since its start.
        shards: how many jobs to share out the blocks of each synthesis and evaluation among, at most.
        idempotency: the client's key, and the sha256 of the body that it came with. Submissions with one key wait for
            each other, a moment.

    Raises:
        SpecRefused: naming the field.
        IdempotencyConflict: the key was used for something else.
        IdempotencyInFlight: another request with this key is not through yet.
        LimitReached: the owner may not have so many jobs waiting, or has no room for what they make.
    """
    if idempotency is not None and (before := _earlier(session, owner, idempotency)) is not None:
        return Submitted(before, created=False)
    planned = plan(session, owner=owner, spec=spec, shards=shards)
    # Sorted, so that a study comes before its jobs, these keep the order of the graph, and shares come before wholes.
    count = 1 + sum(_rows(one.shares) for one in planned.jobs) if planned.jobs else _rows(planned.shares)
    ids = iter(sorted(new_id("job") for _ in range(count)))
    admit(session, owner, count - bool(planned.jobs))
    common: dict[str, Any] = {"owner_id": owner.id, "labels": labels or {}, "priority": priority}
    common["max_run_seconds"] = max_run_seconds
    if not planned.jobs:
        needs = dict.fromkeys(ref.name for _, ref in references(spec) if ref.name.startswith("job_"))
        of_shares = _shares_first(ids, planned.shares)
        job = _job(next(ids), planned.kind, spec, planned.produces, planned.work, name=name, **common)
        job.max_queue_seconds = max_queue_seconds
        _write(session, _with_shares(job, spec, list(needs), of_shares))
    else:
        job = _job(next(ids), planned.kind, spec, None, "", name=name, **common)
        job.waiting_for, job.state, job.max_queue_seconds = 0, State.BLOCKED, max_queue_seconds
        _insert(session, [job])
        id_of: dict[str, str] = {}
        children: list[tuple[Job, list[str]]] = []
        for child in planned.jobs:
            linked = renamed(child.spec, lambda ref: id_of.get(ref, ref))
            of_shares = _shares_first(ids, child.shares)
            own_id = id_of[f"@{child.node}"] = next(ids)
            row = _job(own_id, child.kind, linked, child.produces, child.work, name=child.node, **common)
            row.study_id, row.node = job.id, child.node
            children += _with_shares(row, linked, [id_of.get(need, need) for need in child.needs], of_shares)
        _write(session, children)
    if idempotency is not None:
        idempotency_keys.keep_job(session, owner, *idempotency, job.id)
    session.flush()
    return Submitted(job, created=True)


def _rows(shares: int) -> int:
    """How many jobs a planned one becomes."""
    return 1 if shares == 1 else 1 + shares


def _shares_first(ids: Iterator[str], shares: int) -> list[str]:
    """The ids of a job's shares, taken before its own."""
    return [] if shares == 1 else list(islice(ids, shares))


def _with_shares(whole: Job, spec: Spec, needs: list[str], ids: list[str]) -> list[tuple[Job, list[str]]]:
    """A job with what it needs; where there are ids for shares, these do its work, and it puts together what they left,
    on a CPU."""
    if not ids:
        return [(whole, needs)]
    whole.shards, whole.slot, whole.work = len(ids), "cpu", None
    return [*((share, needs) for share in shard_jobs(whole, spec, ids)), (whole, [*needs, *ids])]


def _earlier(session: Session, owner: User, idempotency: tuple[str, str]) -> Job | None:
    """The job that this key made before."""
    found = idempotency_keys.earlier(session, owner, *idempotency)
    if found is None:
        return None
    if found.job_id is None:
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
        counted = kind.work(spec, catalogue)
    except Uncounted as uncounted:
        return str(uncounted)
    refuse_absurd(counted)
    return counted


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
    _insert(session, [job for job, _ in jobs if job.shard_of is None])
    _insert(session, [job for job, _ in jobs if job.shard_of is not None])  # which refer to the others
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
