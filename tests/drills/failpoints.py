"""Places where a process dies when it comes there: kill -9 of itself, in the middle of what it does.

A drill arms one place by writing its name into a file; the first process that comes there takes the file away and dies.
So workers run long before they are hurt, and one of several dies, not all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.drills.entry import of_nursery, of_worker

COMMITS = ("add_checkpoint", "record", "release", "succeed", "take_from_the_lost")
"""Verbs of the store, whose commits a worker dies before and after."""
STEPS = (*(f"commit of {verb}" for verb in COMMITS), "claim", "rename of a blob", "save_checkpoint")
POINTS = tuple(f"{when} {step}" for step in STEPS for when in ("before", "after"))
_FILE = "armed"
_verbs = threading.local()


def arm(home: Path, point: str) -> Path:
    """Let whoever comes to this place die there. The file is gone when somebody has."""
    assert point in POINTS, point
    armed = home / _FILE
    armed.with_suffix(".new").write_text(point)
    armed.with_suffix(".new").rename(armed)
    return armed


def reach(point: str) -> None:
    """Die here, if it is armed."""
    armed = Path(os.environ["SIEVE_HOME"]) / _FILE
    with contextlib.suppress(FileNotFoundError):
        if armed.read_text() == point:
            armed.rename(armed.with_suffix(".taken"))  # of two who come here at once, one finds it gone
            os.kill(os.getpid(), signal.SIGKILL)


@of_worker
def in_worker() -> None:
    """Before and after: commits of the store's verbs, claims, and renames of blobs."""
    from store.database import Database
    from store.jobs import finish, renew
    from worker import slots, sweeper

    for module in (finish, renew, sweeper):
        for verb in set(COMMITS) & set(dir(module)):
            setattr(module, verb, _noted(verb, getattr(module, verb)))
    slots.claim = _claiming(slots.claim)
    transaction = Database.transaction

    @contextlib.contextmanager
    def watched(self: Database) -> Iterator[Any]:
        with transaction(self) as session:
            _verbs.now = None
            yield session
            verb, _verbs.now = _verbs.now, None
            reach(f"before commit of {verb}")
        reach(f"after commit of {verb}")

    Database.transaction = watched  # type: ignore[method-assign,assignment]
    os.rename = _between("rename of a blob", os.rename, _is_blob)
    os.replace = _between("rename of a blob", os.replace, _is_blob)


@of_nursery
def in_child() -> None:
    """Before and after a checkpoint is written to the scratch folder."""
    from worker import attempt

    attempt.save_checkpoint = _between("save_checkpoint", attempt.save_checkpoint)


def _noted(verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        _verbs.now = verb
        return function(*arguments, **options)

    return noted


def _claiming(function: Callable[..., Any]) -> Callable[..., Any]:
    """A claim commits by itself. One that finds nothing is none."""

    def guarded(*arguments: Any, **options: Any) -> Any:
        reach("before claim")
        given = function(*arguments, **options)
        if given is not None:
            reach("after claim")
        return given

    return guarded


def _between(
    name: str, function: Callable[..., Any], when: Callable[..., bool] = lambda *_: True
) -> Callable[..., Any]:
    def guarded(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            reach(f"before {name}")
        given = function(*arguments, **options)
        if when(*arguments):
            reach(f"after {name}")
        return given

    return guarded


def _is_blob(_: Any, target: Any) -> bool:
    return "/blobs/" in str(target)
