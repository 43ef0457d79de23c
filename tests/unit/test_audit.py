"""The auditor of the drills: what a kill cost a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.drills.audit import redone
from tests.drills.saboteur import Strike

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TO_RUNNING = [(0, "state"), (0.1, "started"), (1.1, "checkpoint"), (2.1, "checkpoint"), (3.1, "checkpoint")]


def told(*marks: tuple[float, str]) -> list[Any]:
    return [SimpleNamespace(at=BEGAN + timedelta(seconds=at), type=type, data={}) for at, type in marks]


@pytest.mark.parametrize(
    ("again", "struck", "cost"),
    [
        ([], 3.9, None),
        ([], 6.1, "a kill cost 3.0 s"),
        # taken by another worker, whose child has not begun when the next kill comes
        ([(7.0, "state"), (7.1, "state")], 8.0, None),
        ([(7.0, "state"), (7.1, "state"), (8.0, "started"), (8.2, "progress")], 8.9, None),
        ([(7.0, "state"), (7.1, "state"), (8.0, "started")], 11.0, "a kill cost 3.0 s"),
    ],
)
def test_a_kill_costs_what_was_done_since_the_last_checkpoint(
    again: list[tuple[float, str]], struck: float, cost: str | None
) -> None:
    blow = Strike(BEGAN + timedelta(seconds=struck), frozenset({"job"}))
    found = list(redone({"job": told(*TO_RUNNING, *again)}, [blow]))
    assert len(found) == (cost is not None)
    if cost is not None:
        assert cost in found[0]
    assert not list(redone({"another": told(*TO_RUNNING, *again)}, [blow]))
