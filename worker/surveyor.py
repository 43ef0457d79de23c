"""The surveyor: one thread in each worker, which has networks measured that estimates were asked for.

A measurement is a child of the nursery beside the slots: seconds of one processor. A GPU is measured only while a slot
of it is free, since a busy one would be measured as a slow one.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Sequence
from importlib.metadata import version

from core.work import Network
from sieve import __version__
from store import estimates
from store.tables import Json
from worker.children import Nursery, NurseryGone
from worker.ledger import Ledger
from worker.pipe import Closed
from worker.slots import Slot

LONGEST_SECONDS = 240.0
"""A measurement that takes longer is given up."""

_log = logging.getLogger(__name__)


class Surveyor:
    """Looks for networks to measure whenever it is woken, and now and then."""

    def __init__(self, ledger: Ledger, slots: Sequence[Slot], nursery: Nursery) -> None:
        self._ledger = ledger
        self._slots = slots
        self._nursery = nursery
        self._host = ledger.settings.host
        threads = ledger.settings.slot_threads
        self._software = f"feature-sieve {__version__}, torch {version('torch')}, {threads} threads"
        self._bell = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="surveyor", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to measure. From any thread."""
        self._bell.set()

    def stop(self) -> None:
        """Look no more; a measurement that runs dies with the nursery."""
        self._ended = True
        self._bell.set()

    def _run(self) -> None:
        while not self._ended:
            self._bell.wait(self._ledger.settings.look_seconds)
            self._bell.clear()
            try:
                while not self._ended and self._survey():
                    pass
            except Exception:
                _log.exception("surveyor")

    def _survey(self) -> bool:
        """Measure one network, if there is one to measure and a device to do it on."""
        place = self._free_place()
        if place is None or not self._nursery.ready or self._ledger.gate.shut:
            return False
        here = {"host": self._host, "device": place.device.partition(":")[0]}
        network = self._ledger.once(lambda session: estimates.take(session, software=self._software, **here))
        if network is None:
            return False
        rates, error = self._measured(network, place)
        self._ledger.surely(lambda session: estimates.record(session, network, rates=rates, error=error, **here))
        return True

    def _free_place(self) -> Slot | None:
        """A slot for accelerator jobs whose device can be measured now."""
        slots = [slot for slot in self._slots if "accelerator" in slot.plan.takes]
        return next((slot for slot in slots if slot.device == "cpu" or slot.free), None)

    def _measured(self, network: Network, place: Slot) -> tuple[Json | None, str | None]:
        """Rates, or why there are none."""
        scratch = self._ledger.settings.scratch / f"survey-{network.key}"
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            child = self._nursery.spawn()
        except NurseryGone:
            return None, "its process could not be started"
        task = {
            "do": "measure",
            "network": network.model_dump(mode="json"),
            **place.sight,
            "threads": self._ledger.settings.slot_threads,
            "scratch": str(scratch),
        }
        answer = None
        try:
            with contextlib.suppress(Closed):
                child.pipe.send(task)
                answer = child.pipe.poll(LONGEST_SECONDS)  # that it has started
                answer = child.pipe.poll(LONGEST_SECONDS)
        finally:
            child.end()
            shutil.rmtree(scratch, ignore_errors=True)
        if answer is None or answer["say"] == "started":
            return None, f"its process ended, or did not answer within {LONGEST_SECONDS:g} s"
        return answer.get("rates"), answer.get("message")
