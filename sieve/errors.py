"""Errors of the client.

SieveError
├── ConfigurationError       no address, or a configuration file that cannot be read
├── ServerUnreachable        no answer, after several tries
├── JobUnsuccessful          a job that was waited for failed, was cancelled or was skipped
├── WaitTimeout              a job did not end in time
├── DownloadDamaged          what arrived is not what the server's checksum says
├── UploadDamaged            what the server has is not what was sent
└── ApiError                 the server answered with a problem
    ├── NotAllowed           401, 403: no key, a wrong one, or one that may not
    ├── NotFound             404
    ├── Conflict             409: not in the state that it is in
    ├── Refused              422: a field is wrong; `errors` says which
    └── ServerFailed         5xx: the server cannot now
        └── TooManyRequests  429: not so fast; `retry_after` says when
"""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sieve.job import Job


class SieveError(Exception):
    """Any error of the client."""


class ConfigurationError(SieveError):
    """No address, or a configuration file that cannot be read."""


class ServerUnreachable(SieveError):
    """No answer, after several tries."""


class DownloadDamaged(SieveError):
    """What arrived is not what the server's checksum says; it was thrown away."""


class UploadDamaged(SieveError):
    """What the server has is not what was sent: the file changed meanwhile, or was damaged on the way."""


class JobUnsuccessful(SieveError):
    """A job that was waited for failed, was cancelled or was skipped."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.status_reason.message}" if job.status_reason else ""
        super().__init__(f"{job.id} {job.state}{reason}")
        self.job = job


class WaitTimeout(SieveError):
    """A job did not end in time. It goes on."""

    def __init__(self, job: Job, seconds: float) -> None:
        super().__init__(f"{job.id} is still {job.state} after {seconds:g} s")
        self.job = job


@dataclass(frozen=True)
class FieldError:
    """One field that the server refused."""

    pointer: str
    """JSON pointer into what was sent, such as `/training/epochs`."""
    message: str


class ApiError(SieveError):
    """The server answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any], *, retry_after: str | None = None) -> None:
        self.status = status
        self.retry_after = _seconds(retry_after)
        """Seconds after which the server wants to be asked again; None where it does not say."""
        self.problem = problem
        """The whole document."""
        self.code: str = problem.get("code", "")
        """What went wrong, for programs: `unknown_name`, `illegal_transition`, ..."""
        self.detail: str = problem.get("detail") or problem.get("title") or f"status {status}"
        self.errors = tuple(
            FieldError(str(e.get("pointer", "")), str(e.get("message", ""))) for e in problem.get("errors") or ()
        )
        fields = "".join(f"\n  {error.pointer or '/'}: {error.message}" for error in self.errors)
        super().__init__(self.detail + fields)

    @property
    def temporary(self) -> bool:
        """May the same request succeed a little later? The client asks again by itself, a few times."""
        return self.status in _TEMPORARY or self.in_flight

    @property
    def in_flight(self) -> bool:
        """Is what has the same idempotency key being done just now? Its answer comes to who asks again."""
        return self.status == 409 and self.code == _IN_FLIGHT

    @classmethod
    def of(cls, status: int, problem: dict[str, Any], *, retry_after: str | None = None) -> ApiError:
        """The error that fits a status. `retry_after` is the header, in seconds or as a date."""
        kind = _BY_STATUS.get(status, ServerFailed if status >= 500 else ApiError)
        return kind(status, problem, retry_after=retry_after)


class NotAllowed(ApiError):
    """No key, a wrong one, or one that may not."""


class NotFound(ApiError):
    """There is no such thing, or it is somebody else's."""


class Conflict(ApiError):
    """Not in the state that it is in."""


class Refused(ApiError):
    """A field is wrong; `errors` says which."""


class ServerFailed(ApiError):
    """The server cannot now."""


class TooManyRequests(ServerFailed):
    """Not so fast; `retry_after` says when."""


_TEMPORARY = frozenset({429, 502, 503, 504})
_IN_FLIGHT = "idempotency_key_in_flight"
_BY_STATUS: dict[int, type[ApiError]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    422: Refused,
    429: TooManyRequests,
}


def _seconds(retry_after: str | None) -> float | None:
    """What `Retry-After` asks for."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
