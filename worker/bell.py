"""The listener: Celery's worker, whose one task wakes the slots. It runs nothing else, and nothing depends on it."""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable

from store.wakeups import RING, celery_app

_AGAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Listener:
    """Celery in a thread of its own. While Redis is away it tries to reconnect, and slots look by themselves.

    One a process: Celery keeps its event loop in a global.
    """

    def __init__(self, redis_url: str, worker_id: str, wake: Callable[[], None]) -> None:
        self._redis_url = redis_url
        self._worker_id = worker_id
        self._wake = wake
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Begin to listen. It ends with the process."""
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._listen()
            except Exception:
                _log.exception("Celery's consumer ended; starting it again")
            time.sleep(_AGAIN_SECONDS)

    def _listen(self) -> None:
        app = celery_app(self._redis_url)
        app.set_current()  # of this thread: where the solo pool looks for its tasks

        @app.task(name=RING, shared=False)  # type: ignore[untyped-decorator]
        def ring() -> None:
            self._wake()

        app.WorkController(
            hostname=f"{self._worker_id}@{platform.node()}",
            pool="solo",
            concurrency=1,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()
