"""The states of a job and the transitions that are legal.

    blocked ──> queued ──> running ──> succeeded
       │          │ ▲         │ │ └──> failed
       │          │ └─────────┘ └────> cancelled
       │          │   (lost lease, retry, paused and resumed)
       └──> skipped (a job that it needs did not succeed)

A study never runs: it is `blocked` until its first child starts, `running` while any is left, then as they ended.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job stands."""

    BLOCKED = "blocked"
    """Waits for jobs that it needs."""
    QUEUED = "queued"
    """Waits for a slot."""
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """A job that it needs did not succeed."""


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED})

_LEGAL: dict[State, frozenset[State]] = {
    State.BLOCKED: frozenset({State.QUEUED, State.RUNNING, State.SKIPPED, State.CANCELLED, State.PAUSED, State.FAILED}),
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED, State.CANCELLED, State.FAILED}),
    State.RUNNING: frozenset({State.QUEUED, State.PAUSED, State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.BLOCKED, State.RUNNING, State.CANCELLED, State.SKIPPED, State.FAILED}),
    State.FAILED: frozenset({State.QUEUED, State.BLOCKED, State.RUNNING}),
    State.CANCELLED: frozenset({State.QUEUED, State.BLOCKED, State.RUNNING}),
    State.SUCCEEDED: frozenset(),
    State.SKIPPED: frozenset({State.BLOCKED, State.RUNNING}),
}
"""From FAILED, CANCELLED and SKIPPED only by an explicit retry (to RUNNING only a study whose children go on)."""


def legal(before: State, after: State) -> bool:
    """May a job go from one state to the other?"""
    return after in _LEGAL[before]
