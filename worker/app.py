"""The worker: slots, nursery, sweeper and listener, put together, run until SIGTERM, and ended in order."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from store import workers
from store.blobs import blob_store
from store.database import Database
from store.ids import new_id
from store.schema import Standing
from store.settings import Settings
from store.wakeups import Bell
from worker import processes
from worker.bell import Listener
from worker.cards import find_cards, usable
from worker.children import Nursery
from worker.ledger import Ledger
from worker.slots import Slot, SlotPlan, plan_slots
from worker.surveyor import Surveyor
from worker.sweeper import Sweeper
from worker.upkeep import Upkeep
from worker.watch import CANCEL_SECONDS, PAUSE_SECONDS

DRAIN_SECONDS = PAUSE_SECONDS + 3 * CANCEL_SECONDS
"""By then every attempt was paused or killed, and given back."""

OUTDATED = 75
"""Exit status of a worker that is older than the database: start it again, upgraded."""

_log = logging.getLogger(__name__)


class WorkerApp:
    """One worker process."""

    def __init__(self, settings: Settings) -> None:
        self._ledger = Ledger(
            database=Database(settings.database_url),
            blobs=blob_store(settings),
            bell=Bell(settings.redis_url),
            settings=settings,
            worker_id=new_id("wrk"),
        )
        self._nursery = Nursery()
        self._cards = find_cards()
        self._slots: list[Slot] = []
        self._sweeper = Sweeper(self._ledger, self._slots, self._cards, self._announce)
        self._surveyor = Surveyor(self._ledger, self._slots, self._nursery)
        self._upkeep = Upkeep(self._ledger)
        self._asked_to_end = threading.Event()

    def run(self) -> int:
        """Work until SIGTERM or SIGINT, then drain. A second signal ends at once. Gives the exit status.

        Raises:
            SystemExit: as `_check_blobs` does.
        """
        processes.become_subreaper()
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # numbers as the driver's tools give them
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        settings = self._ledger.settings
        for folder in (settings.home, settings.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        self._check_blobs()
        Listener(settings.redis_url, self._ledger.worker_id, self._wake).start()
        self._ledger.gate.look(self._ledger)
        self._nursery.start(self._on_nursery_ready)
        self._sweeper.start()
        self._surveyor.start()
        self._upkeep.start()
        outdated = self._wait()
        self._drain()
        return OUTDATED if outdated else 0

    def _wait(self) -> bool:
        """Until asked to end; or, True, until the database is of a newer version and the last attempt has ended."""
        gate = self._ledger.gate
        while not self._asked_to_end.wait(1.0 if gate.shut else self._ledger.settings.lease_seconds / 4):
            was_shut = gate.shut
            gate.look(self._ledger)
            if was_shut and not gate.shut:
                self._wake()
            if gate.standing is Standing.AHEAD and not any(slot.busy for slot in self._slots):
                return True
        return False

    def _on_nursery_ready(self) -> None:
        """The first time, the number of GPUs is known and slots can be made; later, they are only woken."""
        if not self._slots:
            plans = plan_slots(self._ledger.settings, self._nursery.gpus, usable(self._cards.look()))
            self._slots += [self._slot(plan) for plan in plans]
            try:
                self._sweeper.sign()
            except Exception:  # the database is away: the sweeper says it again; the nursery must be listened to
                _log.exception("slots are not told of yet")
            for slot in self._slots:
                slot.start()
            _log.info("%s: ready with %s", self._ledger.worker_id, ", ".join(slot.name for slot in self._slots))
        self._wake()

    def _check_blobs(self) -> None:
        """See that this host is given the blobs of the others: else it would fail their jobs one after another.

        Raises:
            SystemExit: it is not.
        """
        ledger = self._ledger
        newest = ledger.once(lambda session: workers.blobs_of_others(session, ledger.settings.host))
        if newest and not any(ledger.blobs.holds(*one) for one in newest):
            where = "see SIEVE_BLOBS and SIEVE_BLOB_STORE"
            sys.exit(f"{ledger.settings.host} does not see the blobs of the other hosts: {where}")

    def _slot(self, plan: SlotPlan) -> Slot:
        ours = (self._ledger, self._nursery, self._cards)
        return Slot(plan, *ours, announce=self._announce, changed=self._sweeper.nudge)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._asked_to_end.is_set():
            raise SystemExit(128 + number)
        self._asked_to_end.set()

    def _drain(self) -> None:
        _log.info("draining")
        self._surveyor.stop()
        for slot in self._slots:
            slot.drain()
        ended = [slot.join(DRAIN_SECONDS) for slot in self._slots]
        self._sweeper.stop()
        self._upkeep.stop()
        self._nursery.close()
        self._ledger.database.dispose()
        _log.info("ended" if all(ended) else "ended with attempts that could not be given back")

    def _wake(self) -> None:
        self._sweeper.nudge()
        for slot in self._slots:
            slot.wake()
        self._surveyor.wake()

    def _announce(self) -> None:
        """Wake our own slots directly, and every other worker's through the bell."""
        self._wake()
        self._ledger.bell.ring()
