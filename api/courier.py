"""Takes what lies in the outbox to the webhooks: a thread in each API process.

Deliveries are signed after the Standard Webhooks convention (https://www.standardwebhooks.com): the headers
`webhook-id`, `webhook-timestamp` and `webhook-signature`, the last over `{id}.{timestamp}.{body}`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from sqlalchemy.exc import SQLAlchemyError

from api import outside
from store import outbox, webhooks
from store.database import Database
from store.settings import Settings
from store.tables import Delivery, Webhook

LOOK_SECONDS = 1.0
AT_ONCE = 8
LEASE_SECONDS = 60.0
"""More than a batch takes: each request of it at most about three times `outside.SECONDS`."""
GONE = 410
FORGET_SECONDS = 3600.0
_log = logging.getLogger(__name__)


class Courier:
    """Sends what is due, again and again, until it is stopped."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._allowed = outside.Allowed.parse(settings.webhook_allow)
        self._ended = threading.Event()
        self._forgot = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more. What does not get through before the process ends is sent again later."""
        self._ended.set()
        self._thread.join(2)

    def round(self) -> int:
        """Send what is due now; gives how many were tried."""
        with self._database.transaction() as session:
            batch = outbox.due(session, limit=AT_ONCE, lease_seconds=LEASE_SECONDS)
        if batch:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="courier") as hands:
                list(hands.map(lambda one: self._deliver(*one), batch))
        return len(batch)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                while self.round() == AT_ONCE and not self._ended.is_set():
                    pass
                if time.monotonic() - self._forgot > FORGET_SECONDS:
                    self._forgot = time.monotonic()
                    with self._database.transaction() as session:
                        outbox.forget_old(session)
            except SQLAlchemyError as error:
                _log.warning("webhooks are put off: %s", type(error).__name__)
            except Exception:
                _log.exception("webhooks")

    def _deliver(self, delivery: Delivery, hook: Webhook) -> None:
        status, error = None, ""
        try:
            target = outside.read(hook.url, self._allowed)
            address = outside.resolve(target, self._allowed)
            body = _body(delivery)
            status = outside.post(
                target, address, content=body, headers=signed(webhooks.secret(self._settings, hook), delivery.id, body)
            )
            error = f"it answered {status}"
        except outside.Refused as refused:
            error = f"refused: {refused}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        with self._database.transaction() as session:
            if status is not None and 200 <= status < 300:
                outbox.arrived(session, delivery, status)
            else:
                outbox.failed(session, delivery, error=error, status=status, gone=status == GONE)
        _log.info("webhook %s: %s", delivery.id, "arrived" if status and 200 <= status < 300 else error)


def signed(secret: str, id: str, body: bytes, *, at: int | None = None) -> dict[str, str]:
    """Headers of a delivery. `at`: seconds since 1970, now if it is not given."""
    stamp = str(int(time.time()) if at is None else at)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _body(delivery: Delivery) -> bytes:
    payload = delivery.payload
    told = {"type": payload["type"], "timestamp": delivery.created_at.isoformat(), "data": payload["data"]}
    return json.dumps(told, separators=(",", ":")).encode()
