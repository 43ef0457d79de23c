"""Is the service up?"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

import sieve
from api import schemas
from api.auth import DatabaseOf, SettingsOf
from api.observed import Observed
from api.problems import Problem
from store import workers
from store.schema import Standing, standing

router = APIRouter(tags=["service"])


@router.get("/healthz")
def healthz() -> schemas.Status:
    """The process answers."""
    return schemas.Status(version=sieve.__version__)


@router.get("/readyz")
def readyz(database: DatabaseOf, settings: SettingsOf) -> schemas.Readiness:
    """The process answers, and reaches a database that is made for its version; else 503.

    Says also how many slots there are to run jobs.
    """
    with database.transaction() as session:
        stands = standing(session)
        if stands is not Standing.SAME:
            raise Problem(503, "other_version", f"the database is {stands}", headers={"Retry-After": "5"})
        slots = workers.ready(session, settings.lease_seconds)
    return schemas.Readiness(version=sieve.__version__, slots=slots)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """For Prometheus: the installation's jobs, slots and bytes, this process's requests. Keep it from the outside."""
    observed: Observed = request.app.state.observed
    return Response(observed.exposition(), media_type=CONTENT_TYPE_LATEST)
