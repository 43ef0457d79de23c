"""Slots: where attempts run. One thread each: claim, watch the attempt, record, look for the next.

A slot takes nothing while an admin holds it, while others hold the memory of its GPU, and after two different jobs
crashed on it one after another, until a small computation there gives the right answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import Histogram
from sqlalchemy.orm import Session

from store import workers
from store.jobs.claim import Claim, claim
from store.settings import Settings
from store.tables import Hold, Json
from worker.cards import Cards, in_the_way
from worker.children import Nursery, NurseryGone
from worker.ledger import Ledger
from worker.pipe import Closed
from worker.watch import Watch

SUSPECT = 2
"""So many different jobs that crashed here, and none between them that ended well, and the slot is tried out."""
TRY_SECONDS = 30.0
"""Between two trials of such a slot, and the longest that one may take."""

_AGAIN_SECONDS = 1.0
"""How often a slot that may take nothing looks whether it may again."""
CLAIM_SECONDS = Histogram(
    "sieve_claim_seconds",
    "A free slot's look for a job, with its claim where there is one.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
"""This worker's own, on its `metrics_port`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlotPlan:
    """What a slot is."""

    name: str
    device: str
    takes: tuple[str, ...]
    """Sorts of job, the preferred first."""
    card: str | None = None
    """The uuid of its GPU, the only one that its children see. None on a CPU, and where NVML does not know the GPU."""


def plan_slots(settings: Settings, gpus: int, cards: Sequence[str] = ()) -> list[SlotPlan]:
    """One slot a GPU and at least one on the CPU; without a GPU, one a core, which takes everything.

    Short `cpu` jobs (reports) go first where a slot takes both: nobody waits for one behind hours of training.

    Args:
        gpus: how many PyTorch can compute on.
        cards: uuids of the same GPUs in the same order, as far as NVML knows them.
    """
    if settings.devices == "auto":
        devices = [f"cuda:{index}" for index in range(gpus)]
    else:
        devices = [name.strip() for name in settings.devices.split(",") if name.strip() != "cpu"]
    known = {f"cuda:{index}": uuid for index, uuid in enumerate(cards)} if len(cards) == gpus else {}
    on_gpus = [SlotPlan(device, device, ("accelerator",), known.get(device)) for device in devices]
    count = settings.cpu_slots or (1 if devices else len(os.sched_getaffinity(0)))
    takes = ("cpu",) if devices else ("cpu", "accelerator")
    return [*on_gpus, *(SlotPlan(f"cpu:{index}", "cpu", takes) for index in range(count))]


class Slot:
    """One slot and its thread."""

    def __init__(
        self,
        plan: SlotPlan,
        ledger: Ledger,
        nursery: Nursery,
        cards: Cards,
        *,
        announce: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        """`announce` says to all slots that there may be work, `changed` that this one does something else now."""
        self.plan = plan
        self.name, self.device = plan.name, plan.device
        self.hold: Hold | None = None
        """What an admin asked of it, as far as this worker knows."""
        self._ledger = ledger
        self._nursery = nursery
        self._cards = cards
        self._announce = announce
        self._changed = changed
        self._ending = False
        self._job: str | None = None
        self._avoided: str | None = None
        self._crashed: list[str] = []
        """Different jobs in a row that crashed here."""
        self._try_after = 0.0
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=plan.name, daemon=True)

    @property
    def free(self) -> bool:
        """Could a job start here now?"""
        return self._job is None and self._avoided is None and self.hold is None

    @property
    def busy(self) -> bool:
        """Does an attempt run here?"""
        return self._job is not None

    @property
    def sight(self) -> Json:
        """Which GPUs a child sees, and by which name PyTorch knows the one to compute on."""
        if self.plan.card is not None:
            return {"device": "cuda:0", "visible": self.plan.card}
        return {"device": self.plan.device, "visible": "" if self.plan.device == "cpu" else None}

    @property
    def leaving(self) -> str | None:
        """Why an attempt here must stop at its next safe point, to go on elsewhere; None as long as it may stay."""
        if self._ending:
            return "its worker ends"
        if self.hold is not None and self.hold.drain:
            return f"{self.hold.host} {self.hold.slot}".strip() + f" is being drained: {self.hold.reason}"
        return None

    def start(self) -> None:
        """Begin to look for work."""
        self._thread.start()

    def wake(self) -> None:
        """There may be work, or a wish of a running job's owner. From any thread."""
        os.eventfd_write(self._bell, 1)

    def hear(self, hold: Hold | None) -> None:
        """What an admin wants of this slot, now."""
        before, self.hold = self.leaving, hold
        if self.leaving != before:
            self.wake()

    def drain(self) -> None:
        """The worker ends: take no more work, and let a running attempt stop at its next safe point."""
        self._ending = True
        self.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end. True if it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def describe(self, card: Json | None) -> Json:
        """For the table of workers; `card` is its GPU as it is now."""
        return {
            "name": self.name,
            "device": self.plan.device,
            "takes": list(self.plan.takes),
            "job": self._job,
            "avoided": self._avoided,
            "card": card,
        }

    def joules(self) -> float | None:
        """Energy that its GPU has used; None where nothing tells."""
        return None if self.plan.card is None else self._cards.joules(self.plan.card)

    def fileno(self) -> int:
        """Readable after `wake`."""
        return self._bell

    def hush(self) -> None:
        """Unreadable until the next `wake`."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)

    def _run(self) -> None:
        while not self._ending:
            try:
                self._avoid(self._look_around())
                claimed = self._claim() if self._avoided is None else None
                if claimed is None:
                    pause = self._ledger.settings.look_seconds
                    select.select([self], [], [], pause if self._avoided is None else min(pause, _AGAIN_SECONDS))
                    self.hush()
                    continue
                self._job = claimed.job_id
                self._changed()
                self._work(claimed)
                self._job = None
                self._changed()
                self._announce()  # what waited for this job may run now
            except Exception:
                self._job = None
                _log.exception("slot %s", self.name)
                time.sleep(1)

    def _look_around(self) -> str | None:
        """Why this slot should take nothing now, whatever waits."""
        return self._around_all_slots() or self._around_this_one()

    def _around_all_slots(self) -> str | None:
        if self._ledger.gate.shut:
            return f"the database is {self._ledger.gate.standing or 'not seen yet'}"
        settings = self._ledger.settings
        if (left := shutil.disk_usage(settings.home).free) < settings.min_free_bytes:
            return f"the disk of {settings.home} is full but for {left >> 20} MiB: jobs wait until there is space"
        return None

    def _around_this_one(self) -> str | None:
        if self.plan.card is not None:
            card = self._cards.look().get(self.plan.card)
            if card is None:
                return "its GPU does not answer the driver"
            others = in_the_way(card, self._ledger.settings.foreign_mib)
            if others is not None:
                return others
        if len(self._crashed) < SUSPECT or not self._nursery.ready:
            return None
        if time.monotonic() < self._try_after:
            return self._avoided
        wrong = self._try()
        if wrong is None:
            self._crashed.clear()
            return None
        self._try_after = time.monotonic() + TRY_SECONDS
        return f"{' and '.join(self._crashed)} crashed on it one after another, and a trial fails: {wrong}"

    def _avoid(self, reason: str | None) -> None:
        if reason != self._avoided and (reason is None or self._avoided is None):
            _log.warning("slot %s: %s", self.name, reason or "free again")
            self._avoided = reason
            self._changed()
        self._avoided = reason

    def _claim(self) -> Claim | None:
        if not self._nursery.ready:
            return None
        with self._ledger.looking, CLAIM_SECONDS.time():
            return self._ledger.once(self._claim_in)

    def _claim_in(self, session: Session) -> Claim | None:
        ledger, host = self._ledger, self._ledger.settings.host
        self.hold = workers.hold_over(workers.holds(session), host, self.name)
        if self.hold is not None:
            return None
        return claim(
            session,
            worker_id=ledger.worker_id,
            takes=self.plan.takes,
            lease_seconds=ledger.settings.lease_seconds,
            place=f"{host}/{self.name}",
            device=self.device,
        )

    def _work(self, claimed: Claim) -> None:
        watch = Watch(claimed, self, self._ledger, self._nursery)
        watch.run()
        if watch.crashed is False:
            self._crashed.clear()
        elif watch.crashed and claimed.job_id not in self._crashed:
            self._crashed.append(claimed.job_id)

    def _try(self) -> str | None:
        """Let a child compute something whose answer is known. What went wrong, or None."""
        try:
            child = self._nursery.spawn()
        except NurseryGone:
            return "no process could be started"
        try:
            child.pipe.send({"do": "try", **self.sight})
            answer = child.pipe.poll(TRY_SECONDS)
        except Closed:
            return "its process died"
        finally:
            child.end()
        if answer is None:
            return f"no answer within {TRY_SECONDS:.0f} s"
        wrong: str | None = answer["wrong"]
        return wrong
