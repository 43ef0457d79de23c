"""The floor of `benchmarks.latency`: a Celery worker whose one task notes when it began. `REDIS_URL` names the broker.

python -m celery --app benchmarks.bare_celery worker --pool solo
"""

from __future__ import annotations

import os
import time

from celery import Celery
from redis import Redis

URL = os.environ["REDIS_URL"]
BEGUN = "begun"
"""The list in Redis where the times go."""

app = Celery("bare", broker=URL)
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
_redis = Redis.from_url(URL.replace("redis+socket:", "unix:"))


@app.task  # type: ignore[untyped-decorator]
def note() -> None:
    """Note the time."""
    _redis.rpush(BEGUN, time.time())
