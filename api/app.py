"""The application: `uvicorn --factory api.app:create_app`."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

import sieve
from api import document, problems, submission
from api.courier import Courier
from api.limits import BodyLimit, Rates
from api.observed import Observed, Watched
from api.pages import PAGES
from api.routes import (
    accounts,
    artifacts,
    catalogue,
    datasets,
    docs,
    exports,
    jobs,
    lab,
    links,
    models,
    queue,
    results,
    service,
    slots,
    uploads,
    webhooks,
)
from api.safety import SafeHeaders
from core.cards import ARCHITECTURES, ATTACKS, DATASETS
from core.planning import submittable_kinds
from formats.card import FORMATS
from store.blobs import blob_store
from store.database import Database
from store.settings import Settings
from store.settings import settings as settings_of_process
from store.wakeups import Bell

LARGEST_BODY = 1 << 20
LONGEST_STATEMENT = 30.0
"""Seconds."""
AT_ONCE = 16
"""Requests that hold a connection from their first statement to their commit: some less than the pool has."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service. Connects to nothing before the first request."""
    settings = settings or settings_of_process()
    submission.check_kinds(submittable_kinds())
    database = Database(settings.database_url, statement_seconds=LONGEST_STATEMENT)
    courier = Courier(database, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        _build(app)
        courier.start()
        yield
        courier.stop()
        await database.end_looks()
        database.dispose()

    app = FastAPI(
        title="Feature Sieve",
        version=sieve.__version__,
        description="Separate the robust from the non-robust features of an image dataset.",
        lifespan=lifespan,
        docs_url=None,  # `api.routes.docs` serves them without help from outside
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # stable, and pleasant in generated clients
    )
    app.state.observed = Observed(database, settings.home)
    app.add_middleware(BodyLimit, largest=LARGEST_BODY, piece=uploads.LARGEST_PIECE)
    app.add_middleware(SafeHeaders)
    app.add_middleware(Watched, observed=app.state.observed)
    app.state.settings = settings
    app.state.database = database
    app.state.rates = Rates(settings.requests_per_second)
    app.state.turns = anyio.Semaphore(AT_ONCE)
    app.state.blobs = blob_store(settings)
    app.state.bell = Bell(settings.redis_url)
    problems.install(app)
    made = (results, artifacts, datasets, exports, uploads, models, links)
    for module in (jobs, *made, catalogue, queue, slots, accounts, webhooks, service, lab, docs):
        app.include_router(module.router)
    for router in PAGES:
        app.include_router(router)
    app.openapi = lambda: document.of(app)  # type: ignore[method-assign]
    return app


def _build(app: FastAPI) -> None:
    """Build what would else be built during somebody's first request: routes, registries, models of submissions.

    All this stays as long as the process: Python's garbage collector, which stops everything while it looks through it
    (0.1 s), need not look again.
    """
    for _ in iter_route_contexts(app.routes):
        pass
    for registry in (ARCHITECTURES, ATTACKS, DATASETS, FORMATS):
        registry.names()
    for kind in submittable_kinds():
        submission.submission_model(kind.spec)
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
