"""Is the service up?"""

from __future__ import annotations

from fastapi import APIRouter

import sieve
from api import schemas
from api.auth import DatabaseOf

router = APIRouter(tags=["service"])


@router.get("/healthz")
def healthz() -> schemas.Status:
    """The process answers."""
    return schemas.Status(version=sieve.__version__)


@router.get("/readyz")
def readyz(database: DatabaseOf) -> schemas.Status:
    """The process answers, and reaches its database; else 503."""
    with database.transaction() as session:
        session.connection()
    return schemas.Status(version=sieve.__version__)
