"""The sweeper: one thread in each worker. Takes jobs from the lost, says that this worker lives, clears scratch."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import threading
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from sieve import __version__
from store import workers
from store.jobs.finish import take_from_the_lost
from store.jobs.renew import running
from worker.ledger import Ledger
from worker.slots import Slot

_log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps a few times in every lease."""

    def __init__(self, ledger: Ledger, slots: Sequence[Slot], announce: Callable[[], None]) -> None:
        """`announce` says that there may be work."""
        self._ledger = ledger
        self._slots = slots
        self._announce = announce
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """End, and strike this worker off the list."""
        self._ended.set()
        self._thread.join(5)
        self._ledger.once(lambda session: workers.leave(session, self._ledger.worker_id))

    def _run(self) -> None:
        self._ledger.once(self._clear_scratch)
        while not self._ended.wait(self._ledger.settings.lease_seconds / 4):
            try:
                self._ledger.once(self._sign)
                if self._ledger.once(self._sweep):
                    self._announce()
            except Exception:
                _log.exception("sweeper")

    def sign(self) -> None:
        """Say that this worker is there, now."""
        self._ledger.once(self._sign)

    def _sign(self, session: Session) -> None:
        described = [slot.describe() for slot in self._slots]
        if not workers.seen(session, self._ledger.worker_id, described):
            workers.register(
                session,
                self._ledger.worker_id,
                host=platform.node(),
                pid=os.getpid(),
                version=__version__,
                slots=described,
            )

    def _sweep(self, session: Session) -> int:
        settings = self._ledger.settings
        workers.forget_silent(session, 3 * settings.lease_seconds)
        return take_from_the_lost(session, lease_seconds=settings.lease_seconds, max_failures=settings.max_failures)

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
