"""Errors of the store.

    StoreError
    ├── NotFound                 there is none, or it is not the viewer's
    ├── Conflict                 what is asked does not fit what is there
    │   ├── IllegalTransition    ... a job's state does not allow it
    │   ├── IdempotencyConflict  ... the key was used for something else
    │   ├── IdempotencyInFlight  ... a request with the same key is not through yet
    │   └── LimitReached         ... the user has used what the lab lets them use
    ├── LeaseLost                an attempt that no longer holds its job tried to write
    └── BlobMissing              bytes that are to be published are not in the blob store: put them again

`core.errors.SpecRefused` passes through the store unchanged.
"""

from __future__ import annotations


class StoreError(Exception):
    """Any error of `store`."""

    code = "store_error"


class NotFound(StoreError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"

    def __init__(self, what: str, id: str) -> None:
        super().__init__(f"there is no {what} {id}")
        self.what = what
        self.id = id


class Conflict(StoreError):
    """What is asked does not fit what is there."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class IllegalTransition(Conflict):
    """A job's state does not allow what is asked."""

    def __init__(self, message: str) -> None:
        super().__init__("illegal_transition", message)


class IdempotencyConflict(Conflict):
    """An idempotency key came again with another body, or for something else."""

    def __init__(self) -> None:
        super().__init__("idempotency_key_reused", "this Idempotency-Key was used before, for something else")


class IdempotencyInFlight(Conflict):
    """Another request with the same idempotency key is not through yet: try again in a moment."""

    def __init__(self) -> None:
        super().__init__("idempotency_key_in_flight", "another request with this Idempotency-Key is not through yet")


class LimitReached(Conflict):
    """The user has used what the lab lets them use. The message says how much that is, and what to do."""


class LeaseLost(StoreError):
    """An attempt tried to write to a job that it no longer holds. Its worker must kill the child."""

    code = "lease_lost"

    def __init__(self, job_id: str, fence: int) -> None:
        super().__init__(f"attempt {fence} no longer holds {job_id}")


class BlobMissing(StoreError):
    """Bytes that are to be published are not in the blob store any more: put them again, then publish again."""

    code = "blob_missing"

    def __init__(self, sha256: str) -> None:
        super().__init__(f"the blob store does not hold {sha256}")
        self.sha256 = sha256
