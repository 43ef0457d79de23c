"""The sweeper: one thread in each worker. Takes jobs from the lost, ends what is overdue, makes room for short jobs,
says that this worker lives and what its slots do, hears what an admin wants of them, clears scratch."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from sieve import __version__
from store import workers
from store.jobs.expire import end_overdue, note_stalled
from store.jobs.finish import take_from_the_lost
from store.jobs.preempt import preempt
from store.jobs.renew import running
from store.tables import Json
from worker import processes
from worker.cards import Card, Cards
from worker.ledger import Ledger
from worker.slots import Slot

_BREATH_SECONDS = 0.5
_log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps a few times in every lease."""

    def __init__(self, ledger: Ledger, slots: Sequence[Slot], cards: Cards, announce: Callable[[], None]) -> None:
        """`announce` says that there may be work."""
        self._ledger = ledger
        self._slots = slots
        self._cards = cards
        self._announce = announce
        self._nudged = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def nudge(self) -> None:
        """Something happened to a slot, or is wanted of one: look soon. From any thread, as often as one likes."""
        self._nudged.set()

    def stop(self) -> None:
        """End, and strike this worker off the list."""
        self._ending = True
        self.nudge()
        self._thread.join(5)
        self._ledger.once(lambda session: workers.leave(session, self._ledger.worker_id))

    def _run(self) -> None:
        self._ledger.once(self._clear_scratch)
        swept_at = 0.0
        while not self._ending:
            interval = self._ledger.settings.lease_seconds / 4
            self._nudged.wait(interval)
            self._nudged.clear()
            try:
                self.sign()
                if not self._ledger.gate.shut and time.monotonic() - swept_at >= 0.9 * interval:
                    swept_at = time.monotonic()
                    if self._ledger.once(self._sweep):
                        self._announce()
            except Exception:
                _log.exception("sweeper")
            time.sleep(min(_BREATH_SECONDS, interval))  # however often it is nudged

    def sign(self) -> None:
        """Say that this worker is there, now, in a database that is made for its version."""
        if not self._ledger.gate.shut:
            self._ledger.once(self._sign)

    def _sign(self, session: Session) -> None:
        host = self._ledger.settings.host
        cards = {uuid: _described(card) for uuid, card in self._cards.look().items()}
        described = [slot.describe(cards.get(slot.plan.card or "")) for slot in self._slots]
        if not workers.seen(session, self._ledger.worker_id, described):
            workers.register(
                session, self._ledger.worker_id, host=host, pid=os.getpid(), version=__version__, slots=described
            )
        held = workers.holds(session)
        for slot in self._slots:
            slot.hear(workers.hold_over(held, host, slot.name))

    def _sweep(self, session: Session) -> int:
        settings = self._ledger.settings
        workers.forget_silent(session, 3 * settings.lease_seconds)
        note_stalled(session)
        lost = take_from_the_lost(session, lease_seconds=settings.lease_seconds, max_failures=settings.max_failures)
        return lost + end_overdue(session) + preempt(session)

    def _clear_scratch(self, session: Session) -> None:
        """Remove what attempts left behind whose worker was killed."""
        scratch = self._ledger.settings.scratch
        if not scratch.is_dir():
            return
        left = [folder for folder in scratch.iterdir() if folder.is_dir()]
        alive = {f"{job_id}-{fence}" for job_id, fence in running(session)}  # read after the folders
        for folder in left:
            if folder.name not in alive:
                shutil.rmtree(folder, ignore_errors=True)


def _described(card: Card) -> Json:
    """A card as JSON values; of each process that holds memory, whether it is none of ours."""
    values = dataclasses.asdict(card)
    for holder in values["holders"]:
        holder["foreign"] = not processes.descends(holder["pid"], os.getpid())
    return values
