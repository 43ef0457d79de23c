"""Processes forked from the drill that use the store as a worker does: to meet each other at one row, very often."""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

from store.database import Database
from tests.drills.entry import apply

_context = multiprocessing.get_context("fork")


def fork(
    count: int, work: Callable[..., None], url: str, *arguments: Any, patches: Iterable[str] = (), wait: float = 600
) -> list[str]:
    """Run `work(database, number, *arguments)` in so many processes at once. Gives what went wrong in any of them."""
    importlib.import_module("store.jobs.finish")  # once, before the forks
    barrier = _context.Barrier(count)
    errors = _context.SimpleQueue()

    def run(number: int) -> None:
        try:
            apply("worker", patches)
            database = Database(url)
            with database.transaction():
                barrier.wait(60)
            work(database, number, *arguments)
        except BaseException as error:
            errors.put(f"process {number}: {type(error).__name__}: {str(error)[:300]}")

    crew = [_context.Process(target=run, args=(number,)) for number in range(count)]
    for process in crew:
        process.start()
    for process in crew:
        process.join(wait)
    found = [f"process {number} did not end" for number, process in enumerate(crew) if process.is_alive()]
    for process in crew:
        process.kill()
    while not errors.empty():
        found.append(errors.get())
    return found
