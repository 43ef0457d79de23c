"""Slots: where attempts run. One thread each: claim, watch the attempt, record, look for the next."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from store.jobs.claim import Claim, claim
from store.settings import Settings
from store.tables import Json
from worker.children import Nursery
from worker.ledger import Ledger
from worker.watch import Watch

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlotPlan:
    """What a slot is."""

    name: str
    device: str
    takes: tuple[str, ...]
    """Sorts of job, the preferred first."""


def plan_slots(settings: Settings, gpus: int) -> list[SlotPlan]:
    """One slot a GPU and at least one on the CPU; without a GPU, one a core, which takes everything.

    Short `cpu` jobs (reports) go first where a slot takes both: nobody waits for one behind hours of training.
    """
    if settings.devices == "auto":
        devices = [f"cuda:{index}" for index in range(gpus)]
    else:
        devices = [name.strip() for name in settings.devices.split(",") if name.strip() != "cpu"]
    on_gpus = [SlotPlan(device, device, ("accelerator",)) for device in devices]
    count = settings.cpu_slots or (1 if devices else len(os.sched_getaffinity(0)))
    takes = ("cpu",) if devices else ("cpu", "accelerator")
    return [*on_gpus, *(SlotPlan(f"cpu:{index}", "cpu", takes) for index in range(count))]


class Slot:
    """One slot and its thread."""

    def __init__(self, plan: SlotPlan, ledger: Ledger, nursery: Nursery, announce: Callable[[], None]) -> None:
        """`announce` says to all slots that there may be work."""
        self.plan = plan
        self.name, self.device = plan.name, plan.device
        self.draining = False
        self._ledger = ledger
        self._nursery = nursery
        self._announce = announce
        self._job: str | None = None
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=plan.name, daemon=True)

    def start(self) -> None:
        """Begin to look for work."""
        self._thread.start()

    def wake(self) -> None:
        """There may be work, or a wish of a running job's owner. From any thread."""
        os.eventfd_write(self._bell, 1)

    def drain(self) -> None:
        """Take no more work, and let a running attempt stop at its next safe point."""
        self.draining = True
        self.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end. True if it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def describe(self) -> Json:
        """For the table of workers."""
        return {"name": self.name, "device": self.device, "takes": list(self.plan.takes), "job": self._job}

    def fileno(self) -> int:
        """Readable after `wake`."""
        return self._bell

    def hush(self) -> None:
        """Unreadable until the next `wake`."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)

    def _run(self) -> None:
        while not self.draining:
            try:
                claimed = self._claim()
                if claimed is None:
                    select.select([self], [], [], self._ledger.settings.look_seconds)
                    self.hush()
                    continue
                self._job = claimed.job_id
                Watch(claimed, self, self._ledger, self._nursery).run()
                self._job = None
                self._announce()  # what waited for this job may run now
            except Exception:
                self._job = None
                _log.exception("slot %s", self.name)
                time.sleep(1)

    def _claim(self) -> Claim | None:
        if not self._nursery.ready:
            return None
        lease, me = self._ledger.settings.lease_seconds, self._ledger.worker_id
        with self._ledger.looking:
            return self._ledger.once(
                lambda session: claim(
                    session,
                    worker_id=me,
                    takes=self.plan.takes,
                    lease_seconds=lease,
                    place=f"{platform.node()}/{self.name}",
                    device=self.device,
                )
            )
