"""The application: `uvicorn --factory api.app:create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import sieve
from api import problems, submission
from api.limits import BodyLimit
from api.observed import Observed, Watched
from api.pages import PAGES
from api.routes import (
    accounts,
    artifacts,
    catalogue,
    datasets,
    exports,
    jobs,
    lab,
    models,
    queue,
    results,
    service,
    slots,
    uploads,
)
from core.planning import submittable_kinds
from store.blobs import blob_store
from store.database import Database
from store.settings import Settings
from store.settings import settings as settings_of_process
from store.wakeups import Bell

LARGEST_BODY = 1 << 20
AT_ONCE = 16
"""Requests that hold a connection from their first statement to their commit: some less than the pool has."""
_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "description": "Problem (RFC 9457)",
    "content": {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemDocument")}}},
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service. Connects to nothing before the first request."""
    settings = settings or settings_of_process()
    submission.check_kinds(submittable_kinds())
    database = Database(settings.database_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        database.dispose()

    app = FastAPI(
        title="Feature Sieve",
        version=sieve.__version__,
        description="Separate the robust from the non-robust features of an image dataset.",
        lifespan=lifespan,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.observed = Observed(database, settings.home)
    app.add_middleware(BodyLimit, largest=LARGEST_BODY, piece=uploads.LARGEST_PIECE)
    app.add_middleware(Watched, observed=app.state.observed)
    app.state.settings = settings
    app.state.database = database
    app.state.turns = anyio.Semaphore(AT_ONCE)
    app.state.blobs = blob_store(settings)
    app.state.bell = Bell(settings.redis_url)
    problems.install(app)
    made = (results, artifacts, datasets, exports, uploads, models)
    for module in (jobs, *made, catalogue, queue, slots, accounts, service, lab):
        app.include_router(module.router)
    for router in PAGES:
        app.include_router(router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with the problem and the bodies of `POST /v1/jobs` put in."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        body, definitions = submission.submission_schemas(_REF)
        schemas = document["components"]["schemas"]
        schemas |= definitions
        schemas |= problems.problem_schemas(_REF)
        document["paths"]["/v1/jobs"]["post"]["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
        app.openapi_schema = document
    return app.openapi_schema
