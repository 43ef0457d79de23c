"""A job's events as they happen, as server-sent events or NDJSON. No connection is held while nothing happens."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import anyio
from fastapi.concurrency import run_in_threadpool

from api import schemas, views
from store.database import Database
from store.jobs import read, surroundings

LOOK_SECONDS = 0.25
"""How often a stream that waits looks for new events."""
HEARTBEAT_SECONDS = 15.0
"""A stream that has been silent for this long says that it is still there, so that no proxy closes it."""
BATCH = 500


async def follow(database: Database, job_id: str, after: int) -> AsyncIterator[list[schemas.Event] | str]:
    """Batches of a job's events with ids above `after`; empty ones while nothing happens; its last state at the end."""

    def look() -> tuple[str | None, list[schemas.Event]]:
        with database.transaction() as session:
            ended = surroundings.ended(session, job_id)  # first: what happened before the end is then in the events
            return ended, [views.event(row) for row in read.events(session, job_id, after=after, limit=BATCH)]

    while True:
        ended, events = await run_in_threadpool(look)
        if events:
            after = events[-1].id
        elif ended is not None:
            yield ended
            return
        yield events
        if len(events) < BATCH and ended is None:
            await anyio.sleep(LOOK_SECONDS)


async def server_sent(database: Database, job_id: str, after: int) -> AsyncIterator[str]:
    """As `text/event-stream`: each event under its id, heartbeat comments, and at last an event called `end`."""
    yield "retry: 2000\n\n"
    spoken = time.monotonic()
    async for happened in follow(database, job_id, after):
        if isinstance(happened, str):
            yield f"event: end\ndata: {json.dumps({'state': happened})}\n\n"
        elif happened:
            yield "".join(f"id: {e.id}\nevent: {e.type}\ndata: {e.model_dump_json()}\n\n" for e in happened)
            spoken = time.monotonic()
        elif time.monotonic() - spoken >= HEARTBEAT_SECONDS:
            yield ": still here\n\n"
            spoken = time.monotonic()


async def lines(database: Database, job_id: str, after: int) -> AsyncIterator[str]:
    """As `application/x-ndjson`: one event a line; it ends when the job has."""
    async for happened in follow(database, job_id, after):
        if not isinstance(happened, str):
            yield "".join(f"{e.model_dump_json()}\n" for e in happened)
