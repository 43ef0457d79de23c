"""The slot's side of an attempt: start the child, keep the lease, write down what it says, end it when asked to."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import select
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy.orm import Session

from core.planning import parse
from store import logs
from store.artifacts import StoredFile
from store.errors import BlobMissing, LeaseLost
from store.jobs import finish, renew
from store.jobs.claim import Claim
from store.jobs.inputs import Materials, materials
from worker.children import Child, Nursery, NurseryGone
from worker.ledger import Ledger
from worker.pipe import Closed, Message
from worker.story import Story

CANCEL_SECONDS = 4.0
"""After being asked to cancel, and again after SIGTERM, a child has this long before it is treated more harshly."""
PAUSE_SECONDS = 45.0
"""The same after being asked to pause: the next safe point may be an epoch away."""

_GRACE = {"cancel": CANCEL_SECONDS, "pause": PAUSE_SECONDS, "preempt": math.inf}
"""How long a child may take to follow; who is only to make room for a moment is never pressed."""
_TICK = 0.25
_EXIT_SECONDS = 5.0
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Place(Protocol):
    """What an attempt needs to know of its slot."""

    @property
    def name(self) -> str:
        """Such as `cpu:0`."""

    @property
    def device(self) -> str:
        """Such as `cuda:3`."""

    @property
    def sight(self) -> Message:
        """`visible`: what CUDA_VISIBLE_DEVICES is to be, None to leave it; `device`: as torch names it then."""

    @property
    def leaving(self) -> str | None:
        """Why an attempt must stop at its next safe point, to go on elsewhere; None as long as it may stay."""

    def joules(self) -> float | None:
        """Energy that its card has used since some moment of the past; None where nothing tells."""

    def fileno(self) -> int:
        """Readable when something happened that is worth a look at the job's wish."""

    def hush(self) -> None:
        """Make it unreadable again."""


@dataclass
class _Stop:
    """A stop that was asked for."""

    why: str
    until: float
    """When the child's time to follow it is over (monotonic)."""
    signals: list[signal.Signals]
    """Still to be sent, one at the end of each such time."""


class _InputMissing(Exception):
    """A blob that the job reads is not in the blob store."""


class Watch:
    """One attempt, from claim to record."""

    def __init__(self, claim: Claim, place: Place, ledger: Ledger, nursery: Nursery) -> None:
        self._job, self._fence, self._spec = claim.job_id, claim.fence, claim.spec
        self._place = place
        self._ledger = ledger
        self._nursery = nursery
        self._settings = ledger.settings
        self._scratch = ledger.settings.scratch / f"{claim.job_id}-{claim.fence}"
        self._story = Story()
        self._origins: Message = {}
        self._last_words: Message | None = None
        self._stop: _Stop | None = None
        self._wish: str | None = None
        self.crashed: bool | None = None
        """Did the attempt end in a way that a broken slot might explain? None where it says nothing about the slot."""
        self._joules = place.joules()
        self._renewed_at = self._tried_at = time.monotonic()

    def run(self) -> None:
        """Do the attempt and record how it ended. Whatever goes wrong is the attempt's end, not the slot's."""
        with logs.about(job=self._job, attempt=self._fence):
            self._attempt()

    def _attempt(self) -> None:
        _log.info("%s: attempt %d starts on %s", self._job, self._fence, self._place.name)
        try:
            self._run_or_say_why()
        except LeaseLost:
            _log.warning("%s: attempt %d no longer holds it", self._job, self._fence)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
            _log.info("%s: attempt %d is over", self._job, self._fence)

    def _run_or_say_why(self) -> None:
        try:
            self._run()
        except LeaseLost:
            raise
        except _InputMissing as error:
            self._fail({"code": "input_missing", "message": f"{error}; `sieve admin fsck` says more", "again": False})
        except OSError as error:
            _log.exception("%s: attempt %d", self._job, self._fence)
            full = "disk_full" if error.errno == errno.ENOSPC else "storage_failed"
            self._crash(full, f"its files could not be kept: {error}")
        except Exception as error:
            _log.exception("%s: attempt %d", self._job, self._fence)
            self._crash("worker_failed", f"its worker failed: {type(error).__name__}: {error}")

    def _run(self) -> None:
        spec = parse(self._spec)
        given = self._surely(lambda session: materials(session, self._job, spec))
        self._origins = given.origins
        task = self._task(given)
        self._scratch.mkdir(parents=True, exist_ok=True)
        try:
            child = self._nursery.spawn()
        except NurseryGone:
            self._give_back("nursery_gone", "the nursery died before it could start the attempt")
            return
        try:
            with contextlib.suppress(Closed):
                child.pipe.send(task)
                self._listen(child)
            self._write()
            self._conclude(child)
        finally:
            child.end()

    def _task(self, given: Materials) -> Message:
        return {
            "do": "run",
            "spec": self._spec,
            "inputs": {
                "datasets": {name: self._input(name, sha256) for name, sha256 in given.datasets.items()},
                "folders": given.folders,
                "models": {name: self._input(name, sha256) for name, sha256 in given.models.items()},
                "uploads": {name: self._input(name, sha256) for name, sha256 in given.uploads.items()},
                "figures": given.figures,
                "parts": [
                    self._input(f"share {number} of {len(given.parts)}", sha256) | {"figures": figures}
                    for number, (sha256, figures) in enumerate(given.parts, 1)
                ],
                "provenance": given.provenance,
            },
            "checkpoints": [
                {
                    **{name: getattr(one, name) for name in ("fence", "step", "continues", "sha256")},
                    "path": self._checkpoint(one.sha256),
                }
                for one in given.checkpoints
            ],
            "checkpoint_seconds": self._settings.checkpoint_seconds,
            **self._place.sight,
            "threads": self._settings.slot_threads,
            "scratch": str(self._scratch),
            "data_folder": str(self._settings.datasets),
        }

    def _input(self, name: str, sha256: str) -> Message:
        try:
            path = self._ledger.blobs.fetch(sha256, self._beat)
        except FileNotFoundError as error:
            raise _InputMissing(f"the bytes of {name} are missing in the blob store ({error})") from None
        return {"path": str(path), "sha256": sha256}

    def _checkpoint(self, sha256: str) -> str:
        """Where it is. One that is missing is found out by the child, as a damaged one is."""
        try:
            return str(self._ledger.blobs.fetch(sha256, self._beat))
        except FileNotFoundError:
            return str(self._scratch / "missing")

    def _listen(self, child: Child) -> None:
        """Until the child has said its last words. Raises `Closed` if it goes without, `LeaseLost`."""
        while self._last_words is None:
            readable, _, _ = select.select([child.pipe.fileno(), self._place.fileno()], [], [], _TICK)
            if self._place.fileno() in readable:
                self._place.hush()
                self._renew(least=_TICK)
            while self._last_words is None and (message := child.pipe.poll()) is not None:
                self._hear(message, child)
            self._beat()
            self._press(child)

    def _hear(self, message: Message, child: Child) -> None:
        said = message["say"]
        if said in ("done", "failed", "stopped"):
            self._last_words = message
        elif said == "checkpoint":
            self._write()  # what came before a checkpoint must not be missing once it is resumed from
            self._keep([Path(message["path"])], lambda stored: self._add_checkpoint(message, *stored[0]))
            child.pipe.send({"do": "go_on"})
        elif said == "damaged":
            damaged = (message["fence"], message["step"])
            self._surely(lambda session: renew.drop_checkpoint(session, self._job, self._fence, damaged))
        elif said == "started":
            where = {"worker": self._ledger.worker_id, "slot": self._place.name, "device": self._place.device}
            environment = {"threads": self._settings.slot_threads, "versions": message["versions"]}
            self._story.add("started", {"attempt": self._fence, **where, **environment}, at_once=True)
        else:
            self._story.tell(message)

    def _press(self, child: Child) -> None:
        """Pass on a wish to stop; the longer it is not followed, the harsher."""
        now = time.monotonic()
        why = "pause" if self._place.leaving and self._wish != "cancel" else self._wish
        if why is not None and (self._stop is None or _GRACE[why] < _GRACE[self._stop.why]):
            child.pipe.send({"do": "stop", "why": "cancel" if why == "cancel" else "pause"})
            self._stop = _Stop(why, now + _GRACE[why], [signal.SIGTERM, signal.SIGKILL])
        elif self._stop is not None and now > self._stop.until and self._stop.signals:
            child.signal(self._stop.signals.pop(0))
            self._stop.until = now + CANCEL_SECONDS

    def _beat(self) -> None:
        """Write what is due to be written, renew when it is time."""
        if self._story.due():
            self._write()
        self._renew(least=1.0 if self._story.progressed else self._settings.heartbeat_seconds)

    def _write(self) -> None:
        happenings, points = self._story.take()
        if happenings or points:
            progress = self._story.progress
            self._surely(
                lambda session: renew.record(
                    session, self._job, self._fence, happenings=happenings, points=points, progress=progress
                )
            )

    def _renew(self, least: float) -> None:
        """Renew unless that was tried within the last `least` seconds. Raises `LeaseLost`, also when it cannot."""
        now = time.monotonic()
        if now - self._tried_at < min(least, self._settings.heartbeat_seconds):
            return
        self._tried_at = now
        self._story.progressed = False
        joules = self._place.joules()
        used = None if joules is None or self._joules is None else joules - self._joules
        lease, progress = self._settings.lease_seconds, self._story.progress
        answer = self._ledger.once(
            lambda session: (
                renew.renew(session, self._job, self._fence, lease_seconds=lease, progress=progress, joules=used),
            )
        )
        if answer is not None:
            self._renewed_at, self._joules, (self._wish,) = now, joules, answer
        elif time.monotonic() - self._renewed_at > lease:
            raise LeaseLost(self._job, self._fence)

    def _surely(self, work: Callable[[Session], T]) -> T:
        """Do `work` in one transaction, tried again for as long as the lease lasts. Raises `LeaseLost`."""
        while (answer := self._ledger.once(lambda session: (work(session),))) is None:
            if time.monotonic() - self._renewed_at > self._settings.lease_seconds:
                raise LeaseLost(self._job, self._fence)
            time.sleep(0.2)
        return answer[0]

    def _conclude(self, child: Child) -> None:
        """Record how the attempt ended."""
        words = self._last_words
        if words is not None and words["say"] == "done":
            self._succeed(words)
        elif words is not None and words["say"] == "failed":
            self._fail(words)
        elif words is not None or self._stop is not None:
            why = self._place.leaving
            self._give_back("stopped", f"stopped because {why}" if why else "stopped")
        elif not child.ended.wait(_EXIT_SECONDS):
            self._crash("silent", "its process closed the pipe and did not end")
        elif child.status is None:
            self._give_back("nursery_gone", "the nursery died, and the attempt with it")
        elif child.status < 0:
            self.crashed = True
            name = signal.Signals(-child.status).name
            hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
            self._crash(f"killed_by_{name.lower()}", f"its process was killed by {name}{hint}")
        else:
            self.crashed = True
            self._crash("died", f"its process ended with status {child.status} and without a result")

    def _succeed(self, words: Message) -> None:
        self.crashed = False
        outputs, blobs = words["outputs"], self._ledger.blobs
        taken = words["taken"] | {"host": self._settings.host, "device": self._place.device.partition(":")[0]}

        def record(stored: Sequence[tuple[str, int]]) -> None:
            files = [
                StoredFile(output["name"], output["role"], output["media_type"], sha256, size)
                for output, (sha256, size) in zip(outputs, stored, strict=True)
            ]
            told = {"figures": words["figures"], "files": files, "made": words["made"], "blobs": blobs, "taken": taken}
            told["provenance"] = self._provenance(words["ran"])
            self._ledger.surely(lambda session: finish.succeed(session, self._job, self._fence, **told))

        self._keep([Path(output["path"]) for output in outputs], record)

    def _provenance(self, ran: Message) -> Message:
        """As in `store.tables.Artifact`: what it was given, and what it ran with and on."""
        contents = {name: {"sha256": sha256} for name, sha256 in ran["contents"].items()}
        inputs = {name: told | contents.get(name, {}) for name, told in self._origins.items()}
        hardware = {"host": self._settings.host, **ran["hardware"]}
        return {"inputs": inputs, "software": ran["software"], "hardware": hardware}

    def _add_checkpoint(self, message: Message, sha256: str, size: int) -> None:
        step, continues, blobs = message["step"], message["continues"], self._ledger.blobs
        job, fence = self._job, self._fence
        self._surely(
            lambda session: renew.add_checkpoint(
                session, job, fence, step=step, sha256=sha256, size=size, blobs=blobs, continues=continues
            )
        )

    def _keep(self, paths: Sequence[Path], record: Callable[[Sequence[tuple[str, int]]], None]) -> None:
        """Put files into the blob store and record them (sha256 and size of each). Both again where equal bytes were
        garbage, and were deleted in between."""
        while True:
            with contextlib.suppress(BlobMissing):
                record([self._ledger.blobs.put(path, self._beat) for path in paths])
                return

    def _fail(self, words: Message) -> None:
        reason = {"code": words["code"], "message": words["message"]}
        if words["again"]:
            self.crashed = words["code"] != "out_of_memory" or None
            self._crash(**reason)
        else:
            self._ledger.surely(lambda session: finish.fail(session, self._job, self._fence, **reason))

    def _crash(self, code: str, message: str) -> None:
        reason = {"code": code, "message": message}
        limit = self._settings.max_failures
        with contextlib.suppress(LeaseLost):
            self._ledger.surely(
                lambda session: finish.crash(session, self._job, self._fence, **reason, max_failures=limit)
            )

    def _give_back(self, code: str, message: str) -> None:
        self._ledger.surely(lambda session: finish.release(session, self._job, self._fence, code=code, message=message))
