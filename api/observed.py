"""What operators see of the API: one line of log a request, and Prometheus metrics.

Counts of jobs, slots and bytes come from the database at the moment of asking: they are right whichever of several API
processes is asked. Counts and times of requests are this process's own.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import sieve
from store.database import Database
from store.tally import Counts, Tally, tally

_FRESH_SECONDS = 5.0
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_log = logging.getLogger("api.access")


class Observed:
    """The metrics of one application."""

    def __init__(self, database: Database, home: Path) -> None:
        self._registry = CollectorRegistry()
        labels = ["method", "route"]
        self._requests = Counter("sieve_requests", "Requests answered.", [*labels, "status"], registry=self._registry)
        self._seconds = Histogram(
            "sieve_request_seconds",
            "Time to the first byte of an answer.",
            labels,
            registry=self._registry,
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self._registry.register(_Installation(database, home))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self._registry)


class Watched:
    """Middleware: tells `Observed` and the log of every request. Never of its query, where a signature may be."""

    def __init__(self, app: ASGIApp, observed: Observed) -> None:
        self._app = app
        self._observed = observed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the status and the time until it is sent."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, told = time.perf_counter(), False

        async def tell(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.start" and not told:
                told = True
                self._tell(scope, message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except Exception:
            if not told:  # the answer, 500, is sent further out
                self._tell(scope, 500, time.perf_counter() - began)
            raise

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._observed.answered(method, route, status, seconds)
        path = scope.get("raw_path", b"").decode("latin-1")
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        client = (scope.get("client") or ("",))[0]
        told = {"method": method, "path": path, "status": status, "seconds": round(seconds, 4), "client": client}
        _log.log(level, "%s %s %d", method, path, status, extra=told)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Installation(Collector):
    """Counts of the whole installation, at most a few seconds old."""

    def __init__(self, database: Database, home: Path) -> None:
        self._database = database
        self._home = home
        self._counted: tuple[float, Tally] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = _gauge("sieve_info", "The API's version.", ("version",), {(sieve.__version__,): 1})
        yield up
        if self._home.exists():
            usage = shutil.disk_usage(self._home)
            found: Counts = {("free",): usage.free, ("total",): usage.total}
            yield _gauge("sieve_disk_bytes", "Disk of the data folder.", ("which",), found)
        now = self._tally()
        yield _gauge("sieve_database_up", "Does the database answer?", (), {(): float(now is not None)})
        if now is None:
            return
        yield _gauge("sieve_jobs", "Jobs, ended ones too.", ("state", "kind"), now.jobs_by_state_and_kind)
        yield _gauge("sieve_queued", "Jobs that wait.", ("slot", "priority"), now.queued_by_slot_and_priority)
        yield _gauge("sieve_oldest_queued_seconds", "The longest wait now.", (), {(): now.oldest_queued_seconds})
        yield _gauge(
            "sieve_stalled", "Running jobs without progress, as long as the policy says.", (), {(): now.stalled}
        )
        yield _gauge("sieve_slots", "Slots of living workers.", ("host", "busy"), now.slots_by_host_and_whether_busy)
        yield _gauge("sieve_blob_bytes", "Bytes kept for jobs.", ("state",), now.blob_bytes_by_state)
        yield _gauge("sieve_blobs", "Files kept for jobs.", ("state",), now.blobs_by_state)
        yield _gauge("sieve_database_bytes", "Size of the database.", (), {(): now.database_bytes})
        told = "From queue to slot, of the newest 1000 jobs."
        yield _gauge("sieve_wait_seconds", told, ("quantile",), now.recent_wait_seconds)

    def _tally(self) -> Tally | None:
        if self._counted is None or time.monotonic() - self._counted[0] > _FRESH_SECONDS:
            try:
                with self._database.transaction() as session:
                    self._counted = time.monotonic(), tally(session)
            except DBAPIError:
                return None
        return self._counted[1]


def _gauge(name: str, told: str, labels: tuple[str, ...], counts: Counts) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, told, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
