"""Large jobs are shared out: the blocks of a synthesis or an evaluation among `shard` jobs, and the job itself, which
needs them, puts together what they left. The result is the same, to the bit on a CPU, however many shares there are."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.cards import KINDS
from core.errors import SpecRefused
from sieve.specs import EvaluateSpec, ShardSpec, Spec, SynthesizeSpec
from store.figures import from_json
from store.tables import Artifact, Job, Worker

Shards = int | Literal["auto"]
"""How many shares to make, at most; `auto`: one a slot, where the job is large."""

LEAST_BLOCKS = 16
"""In a share that is made without being asked for: some seconds go to starting each."""


def shares(session: Session, asked: Shards, blocks: int | None) -> int:
    """How many shares a job of so many blocks gets: never more than blocks, where their number is known.

    Without being told, as many as there are slots to take them, if that leaves each enough to do.
    """
    if asked != "auto":
        return asked if blocks is None else max(1, min(asked, blocks))
    slots = [slot for row in session.scalars(select(Worker.slots)) for slot in row["slots"]]
    takers = sum("accelerator" in slot["takes"] for slot in slots)
    return max(1, min(takers, (blocks or 0) // LEAST_BLOCKS))


def shard_jobs(whole: Job, spec: Spec, ids: list[str]) -> list[Job]:
    """The rows of the shares of a job, one an id, in the order of its blocks."""
    assert isinstance(spec, SynthesizeSpec | EvaluateSpec)
    kind = KINDS.get("shard")
    common: dict[str, Any] = {"owner_id": whole.owner_id, "labels": whole.labels, "priority": whole.priority}
    common["max_run_seconds"] = whole.max_run_seconds
    rows = []
    for index, id in enumerate(ids):
        values = ShardSpec(job=spec, index=index, of=len(ids)).model_dump(mode="json")
        node = f"{whole.node}/" if whole.node else ""
        row = Job(id=id, kind=kind.name, spec=values, slot=kind.slot, produces=None, work=None, **common)
        row.name = row.node = f"{node}{index + 1} of {len(ids)}"
        row.study_id, row.shard_of = whole.study_id, whole.id
        rows.append(row)
    rows[0].max_queue_seconds, whole.max_queue_seconds = whole.max_queue_seconds, None  # with the first, it has started
    return rows


def refuse_unless_shareable(asked: Shards, spec: Spec) -> None:
    """Say so where somebody wants shares of a job that has none. A study's jobs are shared out where they can be.

    Raises:
        SpecRefused
    """
    kind = KINDS.get(str(spec.kind))  # type: ignore[attr-defined]
    if asked not in (1, "auto") and kind.blocks is None and kind.expand is None:
        raise SpecRefused("/shards", f"a {kind.name} cannot be shared out: a synthesis, an evaluation or a study can")


def parts(session: Session, whole_id: str) -> list[tuple[str, Any]]:
    """What the shares of a job left, in order: sha256 of the file, and the figures."""
    query = select(Artifact.sha256, Job.result).join(Job, Job.id == Artifact.job_id).where(Job.shard_of == whole_id)
    return [(sha256, from_json(result)) for sha256, result in session.execute(query.order_by(Job.id))]


def forget_parts(session: Session, whole: Job) -> None:
    """Let go what the shares left: the job that needed it has succeeded."""
    of_shares = select(Job.id).where(Job.shard_of == whole.id)
    session.execute(delete(Artifact).where(Artifact.job_id.in_(of_shares)))
