"""Garbage collection, publishers of equal bytes, a job that is deleted and a download: their steps in a random order.

Each actor is a thread that stops before every statement, commit and look at the blob store; one is let go at a time.
One that then waits for another's lock is left to it. The collector's wait is played by the order of steps: it deletes
only once the downloads that began before are over.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import event, select, text

from store import fsck, garbage
from store.artifacts import StoredFile, publish_blobs
from store.blobs import DiskBlobs, Kept, sha256_of
from store.database import Database
from store.errors import BlobMissing
from store.jobs import delete, submit
from store.tables import Artifact, Blob, Job
from tests.drills.drill import Drill, Trial
from tests.drills.entry import apply
from tests.drills.stage import Place, Stage
from tests.jobs import TRAIN

BATCH = 100
_BLOCKED_SECONDS = 0.004
"""A step that has not ended by then waits for a lock."""


class Actor:
    """A thread that is let go from step to step."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self.name = name
        self.error: BaseException | None = None
        self._go, self._stopped = threading.Semaphore(0), threading.Event()
        self.ended = False
        self._thread = threading.Thread(target=self._run, args=(act,), daemon=True)
        self._thread.start()
        self._stopped.wait(10)

    @property
    def waits(self) -> bool:
        """Does it stand before a step (and not in one)?"""
        return self._stopped.is_set() and not self.ended

    def step(self) -> None:
        """Let it do one step, or as much of it as it can."""
        self._stopped.clear()
        self._go.release()
        self._stopped.wait(_BLOCKED_SECONDS)

    def pause(self) -> None:
        """Called by the thread itself: stop here."""
        self._stopped.set()
        self._go.acquire()

    def _run(self, act: Callable[[], None]) -> None:
        _of_thread.actor = self
        self.pause()
        try:
            act()
        except BaseException as error:
            self.error = error
        self.ended = True
        self._stopped.set()


_of_thread = threading.local()


def _pause(*_: object) -> None:
    actor: Actor | None = getattr(_of_thread, "actor", None)
    if actor is not None:
        actor.pause()


class SteppedBlobs(DiskBlobs):
    """A folder of blobs; an actor stops before each use of it."""

    def put(self, source: Path, tick: Callable[[], None] = lambda: None) -> tuple[str, int]:
        _pause()
        return super().put(source, tick)

    def holds(self, sha256: str, size: int) -> bool:
        _pause()
        return super().holds(sha256, size)

    def open(self, sha256: str) -> BinaryIO:
        _pause()
        return super().open(sha256)

    def delete(self, sha256: str) -> None:
        _pause()
        super().delete(sha256)

    def everything(self) -> Iterator[Kept]:
        _pause()
        return iter(list(super().everything()))


class Scene:
    """A database and a folder, used for many interleavings and then audited."""

    def __init__(self, place: Place, size: int) -> None:
        self.place = place
        self.database = Database(place.database_url, pool_size=10)
        self.blobs = SteppedBlobs(place.home / "blobs")
        for what in ("before_cursor_execute", "commit"):
            event.listen(self.database.engine, what, _pause)
        self.downloads = 0
        self.found: list[str] = []
        self.jobs = _ended_jobs(place, 3 * size)

    def play(self, draw: random.Random) -> int:
        """One interleaving, with bytes of its own. Gives its number of steps."""
        self.sources = [self.place.home / f"source-{index}" for index in range(2)]
        for source in self.sources:
            source.write_bytes(draw.randbytes(16))
        self.mine = [sha256_of(source) for source in self.sources]
        first, *others = (self.jobs.pop() for _ in range(3))
        self._publish(first, draw.randrange(2))
        parts: list[tuple[str, Callable[[], None]]] = [
            ("publisher", lambda: self._publish(others[0], 0)),
            ("publisher", lambda: self._publish(others[1], 1)),
            ("downloader", self._download),
            ("marker", self._mark),
            ("remover", self._remove),
        ]
        if draw.random() < 0.5:
            parts.append(("deleter", lambda: self._delete(first)))
        else:  # what is published was garbage before, and is marked
            self._delete(first)
            self._mark()
        draw.shuffle(parts)
        actors = [Actor(name, act) for name, act in parts]
        steps, until = 0, time.monotonic() + 60
        while any(not actor.ended for actor in actors):
            assert time.monotonic() < until, f"stuck: {[actor.name for actor in actors if not actor.ended]}"
            ready = [actor for actor in actors if actor.waits]
            if ready:
                draw.choice(ready).step()
                steps += 1
            else:
                time.sleep(0.0005)
        self.found += [f"{actor.name}: {type(a).__name__}: {a}" for actor in actors if (a := actor.error) is not None]
        return steps

    def _publish(self, job_id: str, which: int) -> None:
        while True:
            sha256, size = self.blobs.put(self.sources[which])
            try:
                with self.database.transaction() as session:
                    publish_blobs(session, self.blobs, [(sha256, size)])
                    file = StoredFile(f"{which}", "data", "text/plain", sha256, size)
                    session.add(Artifact(id=f"art_{job_id}_{which}", job_id=job_id, **file.__dict__))
            except BlobMissing:
                continue
            return

    def _delete(self, job_id: str) -> None:
        with self.database.transaction() as session:
            delete.delete_job(session, session.get_one(Job, job_id))

    def _download(self) -> None:
        """As the API does: a row in one transaction, then the file."""
        self.downloads += 1
        try:
            with self.database.transaction() as session:
                query = select(Artifact.sha256).where(Artifact.sha256.in_(self.mine)).order_by(Artifact.id).limit(1)
                sha256 = session.scalar(query)
            if sha256 is not None:
                with self.blobs.open(sha256) as reading:
                    assert hashlib.file_digest(reading, "sha256").hexdigest() == sha256
        finally:
            self.downloads -= 1

    def _mark(self) -> None:
        with self.database.transaction() as session:
            garbage.mark(session)

    def _remove(self) -> None:
        """What is marked now, deleted once the downloads that began before are over."""
        with self.database.transaction() as session:
            query = select(Blob.sha256).where(Blob.sha256.in_(self.mine), Blob.state == "deleting")
            marked = session.scalars(query.order_by(Blob.sha256)).all()
        while self.downloads:
            _pause()
        for sha256 in marked:
            with self.database.transaction() as session:
                garbage.remove(session, self.blobs, sha256, wait_seconds=0)

    def audit(self) -> list[str]:
        """fsck; and after two more rounds nothing is there that nobody refers to."""
        database, blobs = self.place.database, DiskBlobs(self.blobs.root)
        for what in range(2):
            findings = [*fsck.rows(database), *fsck.bytes_of(database, blobs)]
            self.found += [finding.message for finding in findings if finding.wrong]
            if not what:
                for _ in range(2):
                    garbage.collect(database, blobs, wait_seconds=-1)
        with database.transaction() as session:
            referred = set(session.scalars(select(Artifact.sha256)))
        kept = {one.sha256 for one in blobs.everything()}
        if kept != referred:
            self.found.append(f"{len(kept - referred)} files are left over, {len(referred - kept)} are missing")
        return self.found


def _ended_jobs(place: Place, count: int) -> list[str]:
    """Jobs that have succeeded, without the ado of claims."""
    with place.database.transaction() as session:
        ids = [submit.submit(session, owner=place.owner, spec=TRAIN).job.id for _ in range(count)]
    with place.database.transaction() as session:
        session.execute(
            text("update jobs set produces = null, last_event = 3, state = 'succeeded', finished_at = now()")
        )
        history = "insert into events (job_id, id, type, data) select id, :id, 'state', cast(:data as jsonb) from jobs"
        for number, (before, after) in enumerate([("queued", "running"), ("running", "succeeded")], 2):
            session.execute(text(history), {"id": number, "data": f'{{"from": "{before}", "to": "{after}"}}'})
    return ids


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """So many interleavings on a database, then its audit."""
    apply("worker", stage.patches)
    for first in range(0, n, BATCH):
        count = min(BATCH, n - first)
        with stage.place() as place:
            scene = Scene(place, count)
            try:
                steps = [scene.play(stage.draw) for _ in range(count)]
                yield Trial(count, scene.audit(), {"steps": steps})
            finally:
                scene.database.dispose()


DRILL = Drill(
    name="garbage",
    holds="0 referenced blobs lost, 0 dangling: garbage collection x publish x download, 10,000 interleavings",
    full=10_000,
    short=50,
    seconds=12,
    run=run,
    without=("tests.drills.protections:no_look_under_the_lock",),
)
