"""A database of the first layout, with queued, waiting and running jobs, is upgraded while its old workers write to it.

The old version is played by its statements, as they were: it renews leases, submits, claims and ends jobs. A worker of
this version is started before the upgrade and has to wait for it. Afterwards the old workers are gone, and every job
must end as it should; those that ran, from their checkpoints.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from alembic import command
from sqlalchemy import text

from core.checkpoints import save_checkpoint
from core.context import Checkpoint, MemoryContext
from core.errors import Stopped
from local.migrations import config, migrate
from store import fsck
from store.blobs import DiskBlobs
from store.schema import Standing, standing
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Place, Stage
from tests.plugins import rehearsal
from tests.plugins.rehearsal import RehearsalSpec
from tests.working import eventually

FIRST = "2026_11_23"
JOBS = 24
RUNNING = 6
SAVED = 3
SPEC = RehearsalSpec(steps=6, seconds=0.02)

INSERT = """
    insert into jobs (id, kind, owner_id, spec, labels, slot, state, waiting_for, queued_at, last_event)
    values (:id, 'rehearsal', :owner, cast(:spec as jsonb), jsonb_build_object('number', right(:id, 3)),
            'accelerator', :state, :waiting_for, now(), 1)"""
EVENT = "insert into events (job_id, id, type, data) values (:id, :number, :type, cast(:data as jsonb))"
CLAIM = """
    update jobs set state = 'running', fence = fence + 1, worker_id = 'wrk_old', started_at = now(),
        lease_until = now() + interval '2 seconds', last_event = last_event + 1
    where id = (select id from jobs where state = 'queued' order by queued_at, id limit 1 for update skip locked)
    returning id, last_event"""
RENEW = """
    update jobs set lease_until = now() + interval '2 seconds'
    where worker_id = 'wrk_old' and state = 'running' returning id"""
CHECKPOINT = "insert into checkpoints (job_id, fence, step, sha256) values (:id, 1, :step, :sha256)"
BLOB = "insert into blobs (sha256, size) values (:sha256, :size)"


class Old:
    """The version of the first layout, at work in threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._numbers = count(1000)
        self._ended = threading.Event()
        self.submitted: list[str] = []
        self.wrong: list[str] = []
        self.longest = 0.0
        self._threads = [threading.Thread(target=self._run, args=(act,)) for act in (self._submit, self._renew)]

    def __enter__(self) -> Old:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Killed: leases run out."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, act: Any) -> None:
        while not self._ended.wait(0.02):
            began = time.monotonic()
            try:
                with self._place.database.transaction() as session:
                    act(session)
            except Exception as error:
                self.wrong.append(f"the old version, at work: {type(error).__name__}: {str(error)[:300]}")
            self.longest = max(self.longest, time.monotonic() - began)

    def _submit(self, session: Any) -> None:
        self.submitted.append(job(session, self._place, next(self._numbers)))

    def _renew(self, session: Any) -> None:
        session.execute(text(RENEW))


def job(session: Any, place: Place, number: int, state: str = "queued", waiting_for: int = 0) -> str:
    """Submit as the first version did."""
    id = f"job_{number:026d}"
    told = {"id": id, "owner": place.owner.id, "state": state, "waiting_for": waiting_for}
    session.execute(text(INSERT), {**told, "spec": SPEC.model_dump_json()})
    event(session, id, 1, "state", {"from": None, "to": state})
    return id


def event(session: Any, id: str, number: int, type: str, data: dict[str, Any]) -> None:
    """Append as the first version did."""
    session.execute(text(EVENT), {"id": id, "number": number, "type": type, "data": json.dumps(data)})


def fill(place: Place) -> tuple[list[str], list[str]]:
    """Jobs of the first layout: ids of all, and of those that run and have a checkpoint."""
    context = MemoryContext(place.home / "rehearsed", stop_after=SAVED)
    try:
        rehearsal.build()(SPEC.model_copy(update={"seconds": 0.0}), None, context)  # type: ignore[arg-type]
    except Stopped:
        file = place.home / "checkpoint.safetensors"
        save_checkpoint(file, Checkpoint(SAVED, context.checkpoints[-1].tensors))
        sha256, size = DiskBlobs(place.home / "blobs").put(file)
    with place.database.transaction() as session:
        session.execute(
            text("insert into users (id, name, role) values (:id, 'ada', 'member')"), {"id": place.owner.id}
        )
        session.execute(text(BLOB), {"sha256": sha256, "size": size})
        ids = [job(session, place, number) for number in range(JOBS)]
        for one, other in zip(ids[: JOBS // 4], [*range(JOBS, JOBS + JOBS // 4)], strict=True):
            ids.append(job(session, place, other, "blocked", 1))
            session.execute(
                text("insert into needs (job_id, needs_id) values (:id, :needs)"), {"id": ids[-1], "needs": one}
            )
    running = []
    for _ in range(RUNNING):
        with place.database.transaction() as session:
            row = session.execute(text(CLAIM)).one()
            event(session, row.id, row.last_event, "state", {"from": "queued", "to": "running"})
            event(session, row.id, row.last_event + 1, "started", {"attempt": 1})
            event(session, row.id, row.last_event + 2, "checkpoint", {"step": SAVED, "sha256": sha256})
            session.execute(text("update jobs set last_event = last_event + 2 where id = :id"), {"id": row.id})
            session.execute(text(CHECKPOINT), {"id": row.id, "step": SAVED, "sha256": sha256})
        running.append(row.id)
    return ids, running


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Each upgrade is one trial."""
    for _ in range(n):
        with stage.place() as place:
            with place.database.transaction() as session:
                session.execute(text("drop schema public cascade"))
                session.execute(text("create schema public"))
            command.upgrade(config(place.database_url), FIRST)
            ids, running = fill(place)
            worker = place.start()
            eventually(lambda place=place: "takes no jobs" in place.log(), 60, place.log)  # type: ignore[misc]
            with Old(place) as old:
                time.sleep(0.3)
                began = time.monotonic()
                migrate(place.database_url)
                seconds = time.monotonic() - began
                time.sleep(0.3)
            ids += old.submitted
            place.ready(worker)
            eventually(lambda place=place, ids=ids: place.ended(ids) == len(ids), 300, place.log)  # type: ignore[misc]
            yield Trial(1, _audit(place, ids, running) + old.wrong, _measured(seconds, old, ids))


def _measured(seconds: float, old: Old, ids: list[str]) -> dict[str, Any]:
    return {"upgrade_seconds": seconds, "longest_old_statement_seconds": old.longest, "jobs": len(ids)}


def _audit(place: Place, ids: list[str], running: list[str]) -> list[str]:
    auditor = Auditor.of(place)
    found = auditor.check(ids)
    if auditor.resumed(running) != [SAVED] * len(running):
        found.append(f"running jobs were resumed at {auditor.resumed(running)}")
    findings = [*fsck.rows(place.database), *fsck.bytes_of(place.database, DiskBlobs(place.home / "blobs"))]
    found += [finding.message for finding in findings if finding.wrong]
    with place.database.transaction() as session:
        if standing(session) is not Standing.SAME:
            found.append(f"the database is {standing(session)}")
    return found


DRILL = Drill(
    name="upgrade",
    holds="a database of the first layout with queued and running jobs is upgraded under load and loses nothing",
    full=20,
    short=1,
    seconds=20,
    run=run,
    without=("tests.drills.protections:no_checkpoints",),
)
