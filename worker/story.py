"""What a child says of its work, collected until it is written down: not every word deserves a row of its own."""

from __future__ import annotations

import time

from store.jobs.renew import Happening, Point
from store.tables import Json
from worker.pipe import Message

_WRITE_SECONDS = 0.5
_PROGRESS_SECONDS = 1.0
"""Least time between two progress events of one phase; they are also at least 1 % of the phase apart."""


class Story:
    """Events and points of curves that wait to be written, and the newest progress."""

    def __init__(self) -> None:
        self.progress: Json | None = None
        """{"phase", "step", "total", "eta_seconds"}"""
        self.progressed = False
        """Was there progress since this was last set to False?"""
        self._happenings: list[Happening] = []
        self._points: list[Point] = []
        self._at_once = False
        self._written_at = time.monotonic()
        self._phase_began: tuple[float, int] = (0.0, 0)
        self._evented: tuple[float, int] = (0.0, 0)

    def add(self, type: str, data: Json, *, at_once: bool = False) -> None:
        """One event; `at_once` makes it due."""
        self._happenings.append((type, data))
        self._at_once |= at_once

    def tell(self, message: Message) -> None:
        """What a child said: progress, metrics, log or resumed."""
        said = message["say"]
        if said == "progress":
            self._progress(message["phase"], message["step"], message["total"])
        elif said == "metrics":
            self._points += [(name, step, value) for name, step, value in message["points"]]
        elif said == "log":
            self.add("log", {"message": message["message"]})
        else:
            assert said == "resumed", said
            told = {"changes": message["changes"]} if message["changes"] else {}
            self.add("resumed", {"step": message["step"], **told}, at_once=True)

    def due(self) -> bool:
        """Is it time to write?"""
        waiting = bool(self._happenings or self._points)
        return waiting and (self._at_once or time.monotonic() - self._written_at >= _WRITE_SECONDS)

    def take(self) -> tuple[list[Happening], list[Point]]:
        """All that waits to be written."""
        taken = self._happenings, self._points
        self._happenings, self._points, self._at_once = [], [], False
        self._written_at = time.monotonic()
        return taken

    def _progress(self, phase: str, step: int, total: int) -> None:
        now = time.monotonic()
        new_phase = self.progress is None or self.progress["phase"] != phase
        if new_phase:
            self._phase_began = (now, step)
        began, first = self._phase_began
        eta = round((now - began) / (step - first) * (total - step)) if step > first else None
        self.progress = {"phase": phase, "step": step, "total": total, "eta_seconds": eta}
        self.progressed = True
        evented_at, evented_step = self._evented
        far = step - evented_step >= max(1, total // 100) and now - evented_at >= _PROGRESS_SECONDS
        if new_phase or far or (step == total and step != evented_step):
            self.add("progress", self.progress)
            self._evented = (now, step)
