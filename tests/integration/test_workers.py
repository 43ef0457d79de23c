"""Workers in the database."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import text

from store import workers
from store.database import Database
from tests.working import eventually

SELF: dict[str, Any] = {"host": "here", "pid": 1, "version": "0"}


def test_two_threads_of_a_worker_may_tell_of_it_at_once(database: Database) -> None:
    slots = [{"name": "cpu:0", "device": "cpu", "takes": ["cpu"], "job": None}]
    ended = threading.Event()

    def tell() -> None:
        with database.transaction() as session:
            assert not workers.seen(session, "wrk_1", slots)
            workers.register(session, "wrk_1", slots=slots, **SELF)
        ended.set()

    def waits() -> bool:
        with database.transaction() as session:
            query = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
            return bool(session.execute(query).scalar_one())

    with database.transaction() as session:
        workers.register(session, "wrk_1", slots=[], **SELF)
        session.flush()
        threading.Thread(target=tell).start()
        eventually(waits)
    assert ended.wait(60), "it failed"
    with database.transaction() as session:
        (worker,) = workers.workers(session)
        assert worker.slots == {"slots": slots}
