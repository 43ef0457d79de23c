"""How long to go on trying: pauses that grow, differ from client to client, and are as long as the server asks for."""

from __future__ import annotations

import random
import time

from sieve.errors import ApiError, ServerUnreachable

TRIES = 4
LONGEST_PAUSE = 60.0
"""Seconds; a server that asks for more is not waited for any longer."""
LONGEST_OWN_PAUSE = 10.0
"""Seconds between two tries where the server does not say."""


class Patience:
    """Tries at one thing, in order."""

    def __init__(self, url: str, seconds: float = 0, tries: int = TRIES) -> None:
        """At least `tries` tries, and more for `seconds` since the first failure."""
        self._url = url
        self._tries = tries
        self._seconds = seconds
        self._failed = 0
        self._since = 0.0

    def moved(self) -> None:
        """Something came: as long as it moves, there is hope."""
        self._failed = 0

    def pause(self, error: Exception) -> None:
        """Sleep before the next try. After the last one give up.

        Raises:
            ApiError: `error` itself, where the server answered.
            ServerUnreachable: it did not.
        """
        now = time.monotonic()
        if self._failed == 0:
            self._since = now
        self._failed += 1
        if self._failed >= self._tries and now - self._since >= self._seconds:
            if isinstance(error, ApiError):
                raise error
            raise ServerUnreachable(f"{self._url} does not answer: {said(error)}") from error
        asked = error.retry_after if isinstance(error, ApiError) else None
        time.sleep(_pause(self._failed - 1) if asked is None else min(asked, LONGEST_PAUSE) * _jitter(1.0, 1.1))


def said(error: Exception) -> str:
    """An error in words; some of httpx have none."""
    return str(error) or type(error).__name__


def _pause(failed: int) -> float:
    """Seconds before the next try: 0.5, 1, 2, ... less up to half of it, so that clients do not come back together."""
    return min(0.5 * 2.0**failed, LONGEST_OWN_PAUSE) * _jitter(0.5, 1.0)


def _jitter(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - jitter keeps no secret
