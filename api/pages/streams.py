"""Streams for pages: that something changed, so that the page looks anew; and a job's own events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import anyio
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from store.database import Database

LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 600.0
"""Then the browser connects again, and shows whether it is still signed in."""


async def changes(
    database: Database, look: Callable[[Database], str], over: Callable[[Database], bool] = lambda _: False
) -> AsyncIterator[str]:
    """An event called `change` whenever `look` gives something else; `end` and the last one once it is `over`."""
    yield "retry: 2000\n\n"
    began = spoken = time.monotonic()
    before: str | None = None
    while time.monotonic() - began < LONGEST_SECONDS:
        ended = await run_in_threadpool(over, database)
        now = await run_in_threadpool(look, database)
        if now != before:
            if before is not None:
                yield "event: change\ndata: {}\n\n"
            before, spoken = now, time.monotonic()
        if ended:
            yield "event: end\ndata: {}\n\n"
            return
        if time.monotonic() - spoken >= HEARTBEAT_SECONDS:
            yield ": still here\n\n"
            spoken = time.monotonic()
        await anyio.sleep(LOOK_SECONDS)


def stream(events: AsyncIterator[str]) -> StreamingResponse:
    """As `text/event-stream`."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
