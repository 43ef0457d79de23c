"""Wake-ups: a Celery message says "there may be work", to every worker. Postgres is the truth, this is a hint.

A lost message delays a job until a slot looks by itself; a message too many makes a slot look in vain. So nothing is
acknowledged late, retried, scheduled or stored, and a Redis that is gone costs a caller at most `_TIMEOUT` seconds,
once in `_PAUSE` seconds.
"""

from __future__ import annotations

import logging
import threading
import time

from celery import Celery
from kombu.common import Broadcast
from kombu.entity import Exchange
from kombu.exceptions import OperationalError

RING = "worker.ring"
"""Name of the one task."""

BELL = Exchange("sieve.bell", type="fanout", durable=False)  # type: ignore[no-untyped-call]
"""Where it is sent: everyone who listens hears it, and nothing stays behind for those who do not."""

_TIMEOUT = 0.4
_PAUSE = 2.0
_log = logging.getLogger(__name__)


def celery_app(redis_url: str) -> Celery:
    """The Celery application, the same for who rings and who listens. Connects to nothing yet."""
    app = Celery("feature_sieve", broker=redis_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_queues=(Broadcast(BELL.name, exchange=BELL, routing_key=RING),),  # type: ignore[no-untyped-call]
        task_default_queue=BELL.name,
        task_create_missing_queues=False,
        broker_connection_timeout=_TIMEOUT,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_connect_timeout": _TIMEOUT,
            "socket_timeout": 5.0,
            "socket_keepalive": True,
            "health_check_interval": 5,
        },
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


class Bell:
    """Tells workers that there may be work. Ring it after the commit that made the work. Safe from several threads."""

    def __init__(self, redis_url: str) -> None:
        self._app = celery_app(redis_url)
        # Without the first a connection is tried again for four seconds, `retry=False` or not; without the second a
        # Redis that is there and does not answer is waited for as long as a listener waits.
        self._app.conf.broker_transport_options |= {"max_retries": 0, "socket_timeout": _TIMEOUT}
        # Celery imports the transport, messages and results when they are first used: now, not by who rings first.
        with self._app.connection_for_write() as connection:
            _ = self._app.amqp, self._app.backend, self._app.AsyncResult, connection.transport
        self._lock = threading.Lock()
        self._quiet_until = 0.0

    def ring(self) -> bool:
        """Wake every worker's free slots. Never raises; False where Redis could not be reached, or was not tried."""
        if time.monotonic() < self._quiet_until:
            return False
        with self._lock:
            began = time.monotonic()
            if began < self._quiet_until:  # found out while this one waited for its turn
                return False
            for _ in range(2):  # a pooled connection may have died with an earlier Redis
                try:
                    self._app.send_task(RING, exchange=BELL, declare=[BELL], routing_key=RING, retry=False)
                except (OperationalError, OSError) as error:
                    reason = error
                    if time.monotonic() - began >= _TIMEOUT / 2:  # not refused, but silent
                        break
                else:
                    return True
            self._quiet_until = time.monotonic() + _PAUSE
            _log.warning("cannot ring the bell, slots will look by themselves: %s", reason)
            return False
