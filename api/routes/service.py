"""Is the service up?"""

from __future__ import annotations

from fastapi import APIRouter

import sieve
from api import schemas
from api.auth import DatabaseOf, SettingsOf
from store import workers

router = APIRouter(tags=["service"])


@router.get("/healthz")
def healthz() -> schemas.Status:
    """The process answers."""
    return schemas.Status(version=sieve.__version__)


@router.get("/readyz")
def readyz(database: DatabaseOf, settings: SettingsOf) -> schemas.Readiness:
    """The process answers, and reaches its database; else 503. Says also how many slots there are to run jobs."""
    with database.transaction() as session:
        slots = workers.ready(session, settings.lease_seconds)
    return schemas.Readiness(version=sieve.__version__, slots=slots)
