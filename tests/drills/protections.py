"""Protections of the product, each switched off by replacing one function. Without them a drill must not hold."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from select import select as select_of_system
from types import SimpleNamespace
from typing import Any, TypeVar

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from store.tables import Job
from tests.drills.entry import of_api, of_nursery, of_worker

AnyT = TypeVar("AnyT")


@of_worker
def no_fence() -> None:
    """Whoever says that a job is theirs may write to it."""
    from store.jobs import finish, renew

    def held(session: Session, job_id: str, fence: int) -> Job:
        return session.scalars(select(Job).where(Job.id == job_id).with_for_update()).one()

    def renewed(session: Session, job_id: str, fence: int, *, lease_seconds: float, **_: Any) -> str | None:
        job = session.get_one(Job, job_id)
        job.lease_until = func.now() + timedelta(seconds=lease_seconds)
        return job.wish

    renew.held = finish.held = held
    renew.renew = renewed  # type: ignore[assignment]


@of_worker
def no_checkpoints() -> None:
    """No attempt is told of its predecessors' checkpoints."""
    from worker import watch

    known = watch.materials

    def forgetful(session: Session, job_id: str, spec: Any) -> Any:
        given = known(session, job_id, spec)
        given.checkpoints = []
        return given

    watch.materials = forgetful


@of_worker
@of_nursery
def no_cleaning() -> None:
    """Nobody kills what descends from a process that ends."""
    from worker import nursery, processes

    def nothing(*_: Any) -> None:
        """Leave everybody alone."""

    processes.die_with = processes.kill_descendants = processes.kill_children = processes.kill_group = nothing
    serve = nursery._serve

    def staying(*arguments: Any) -> bool:
        time.sleep(0 if serve(*arguments) else 0.1)
        return True

    nursery._serve = staying


@of_worker
def no_pressing() -> None:
    """A wish to stop is not passed on."""
    from worker.watch import Watch

    Watch._press = lambda *_: None  # type: ignore[method-assign]


@of_worker
def no_charging() -> None:
    """A crash costs a job nothing: it is tried for ever."""
    from store.jobs import finish

    charged = finish._charge

    def free(session: Session, job: Job, **reason: Any) -> None:
        job.failures = -1
        charged(session, job, **reason)

    finish._charge = free


@of_worker
def no_looking() -> None:
    """A slot that is not rung for does not look for work."""
    from worker import slots

    slots.select = SimpleNamespace(select=lambda readable, *_: select_of_system(readable, [], []))  # type: ignore[assignment]


@of_worker
def no_draining() -> None:
    """SIGTERM ends a worker at once."""
    from worker.app import WorkerApp

    WorkerApp._drain = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


@of_worker
def no_transactions() -> None:
    """Every statement is committed by itself."""
    from store.database import Database

    before = Database.__init__

    def loose(self: Database, *arguments: Any, **options: Any) -> None:
        before(self, *arguments, **options)
        self.engine: Engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    Database.__init__ = loose  # type: ignore[method-assign]


@of_nursery
def no_digests() -> None:
    """A file is taken to be what it is named by."""
    from core import checkpoints
    from worker import attempt

    attempt._sha256 = lambda path: path.name
    checkpoints._digest = lambda _: ""


@of_worker
def no_decisions() -> None:
    """Changes of state are not serialised, and any is legal."""
    from store.jobs import claim, finish, renew, submit, transition, wish

    claim._DECIDE = "select set_config('sieve.decides', 'yes', true)"
    for module in (finish, submit, transition, wish):
        module.decide = lambda _: None
    transition.legal = lambda *_: True

    def held(session: Session, job_id: str, fence: int) -> Job:
        return session.get_one(Job, job_id)

    renew.held = finish.held = held


@of_worker
def no_fairness() -> None:
    """First come, first served."""
    from store import fairness
    from store.jobs import claim

    claim._CLAIM = claim._CLAIM.replace(fairness.USED, "0 * accounts.running")


@of_api
def no_impatience() -> None:
    """Celery's own patience with a broker that is not there."""
    from store import wakeups

    def ring(self: wakeups.Bell) -> bool:
        self._app.conf.broker_transport_options.pop("max_retries", None)
        self._app.send_task(wakeups.RING, exchange=wakeups.BELL, declare=[wakeups.BELL], routing_key=wakeups.RING)
        return True

    wakeups.Bell.ring = ring  # type: ignore[method-assign]


@of_api
def no_idempotency() -> None:
    """The key is not looked at."""
    from store.jobs import submit

    whole = submit.submit

    def every_time(*arguments: Any, **options: Any) -> submit.Submitted:
        return whole(*arguments, **{**options, "idempotency": None})

    submit.submit = every_time


@of_worker
def no_look_under_the_lock() -> None:
    """A publisher trusts that what it has put is still there."""
    from tests.drills.rows import garbage

    garbage.SteppedBlobs.holds = lambda *_: True  # type: ignore[method-assign]


@of_worker
def no_staging() -> None:
    """A file is written where it is to be read."""
    import shutil

    from store.blobs import DiskBlobs, sha256_of

    def put(self: DiskBlobs, source: Path, tick: Any = None) -> tuple[str, int]:
        sha256 = sha256_of(source)
        self.path(sha256).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, self.path(sha256))
        return sha256, source.stat().st_size

    DiskBlobs.put = put  # type: ignore[method-assign]


@of_worker
def no_sweeping() -> None:
    """Nobody takes a job from a worker that is gone."""
    from worker import sweeper

    sweeper.take_from_the_lost = lambda *_, **__: 0
