"""How much a request may send and for how long, and how many requests a user may make."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem

PIECE_SECONDS = 30.0
"""A body of which nothing arrives for so long is given up."""
BURST_SECONDS = 10.0
"""So many seconds' worth of requests may come at once."""


class BodyLimit:
    """Refuses bodies that are, or turn out to be, too large. FastAPI's own limit answers with plain text."""

    def __init__(self, app: ASGIApp, largest: int, piece: int) -> None:
        """In bytes; `piece`: of an upload."""
        self._app = app
        self._largest = largest
        self._piece = piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives; the exception goes through the application, which makes a problem of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        largest = self._piece if "/v1/uploads/" in scope["path"] else self._largest
        declared = Headers(scope=scope).get("content-length", "0")
        arrived = int(declared) if declared.isdecimal() and int(declared) > largest else 0

        whole = False

        async def limited() -> Message:
            nonlocal arrived, whole
            try:
                with anyio.fail_after(None if whole else PIECE_SECONDS):  # a whole one's sender may listen for hours
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"nothing has arrived for {PIECE_SECONDS:g} s") from None
            whole = not message.get("more_body", False)
            arrived += len(message.get("body", b""))
            if arrived > largest:
                raise HTTPException(413, f"a body may have {largest} bytes")
            return message

        await self._app(scope, limited, send)


class Rates:
    """A bucket of tokens for everybody who asks: each request takes one, and they come back at a steady rate.

    They are this process's own: two API processes let a user ask twice as often.
    """

    KEPT = 10_000
    """Buckets of those who asked last; a forgotten one was full, or belonged to somebody who comes as a crowd."""

    def __init__(self, per_second: float) -> None:
        """Without a limit where `per_second` is 0."""
        self._per_second = per_second
        self._most = max(per_second * BURST_SECONDS, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, who: str) -> None:
        """Take a token of somebody's.

        Raises:
            Problem: 429, with the seconds until there is one.
        """
        if not self._per_second:
            return
        now = time.monotonic()
        with self._lock:
            left, at = self._buckets.pop(who, (self._most, now))
            left = min(left + (now - at) * self._per_second, self._most)
            allowed = left >= 1
            self._buckets[who] = (left - allowed, now)
            if len(self._buckets) > self.KEPT:
                self._buckets.popitem(last=False)
        if not allowed:
            seconds = math.ceil((1 - left) / self._per_second)
            detail = f"more than {self._per_second:g} requests a second: try again in {seconds} s"
            raise Problem(429, "too_many_requests", detail, headers={"Retry-After": str(seconds)})
