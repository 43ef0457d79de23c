"""The one place where an error becomes a status: RFC 9457 problem documents, everywhere alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg.errors import UndefinedColumn, UndefinedTable
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from api.pointers import FieldError, field_errors
from core.errors import SpecRefused
from store.blobs import StorageFailed
from store.errors import Conflict, IdempotencyConflict, IdempotencyInFlight, NotFound

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that the API itself finds."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    """The status in words."""
    status: int
    detail: str
    """For people."""
    code: str = Field(examples=["unknown_name", "illegal_transition", "not_found"])
    """For programs."""
    errors: list[FieldError] | None = None
    """The fields that are wrong."""


def not_found(what: str) -> Problem:
    """There is none, or it is somebody else's."""
    return Problem(404, "not_found", f"there is no such {what}")


def unauthenticated(detail: str) -> Problem:
    """No key, or a wrong one."""
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="sieve"'})


def install(app: FastAPI) -> None:
    """Answer every error of this service with a problem document."""

    @app.exception_handler(Problem)
    def _(_: Request, error: Problem) -> JSONResponse:
        return respond(error)

    @app.exception_handler(RequestValidationError)
    def _(_: Request, error: RequestValidationError) -> JSONResponse:
        if any(found["loc"][0] == "path" for found in error.errors()):  # an id that cannot be one
            return respond(not_found("thing"))
        return respond(invalid(field_errors(error.errors(), error.body, None)))

    @app.exception_handler(SpecRefused)
    def _(_: Request, error: SpecRefused) -> JSONResponse:
        field = FieldError(pointer=error.pointer, message=error.message)
        return respond(Problem(422, error.code, "the job cannot be done as it is described", errors=[field]))

    @app.exception_handler(NotFound)
    def _(_: Request, error: NotFound) -> JSONResponse:
        return respond(Problem(404, "not_found", str(error)))

    @app.exception_handler(Conflict)
    def _(_: Request, error: Conflict) -> JSONResponse:
        status = 422 if isinstance(error, IdempotencyConflict) else 409
        soon = {"Retry-After": "1"} if isinstance(error, IdempotencyInFlight) else None
        return respond(Problem(status, error.code, str(error), headers=soon))

    @app.exception_handler(DataError)
    def _(_: Request, __: DataError) -> JSONResponse:
        return respond(Problem(422, "not_storable", "a value cannot be stored: a NUL character, or a number too large"))

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeout)
    def _(_: Request, __: Exception) -> JSONResponse:
        return respond(
            Problem(503, "database_unavailable", "the database cannot be reached now", headers={"Retry-After": "2"})
        )

    @app.exception_handler(ProgrammingError)
    def _(_: Request, error: ProgrammingError) -> JSONResponse:
        if not isinstance(error.orig, UndefinedColumn | UndefinedTable):
            raise error
        detail = "the database is of another version than this server: an upgrade is going on, or is to be done"
        return respond(Problem(503, "other_version", detail, headers={"Retry-After": "5"}))

    @app.exception_handler(StorageFailed)
    def _(_: Request, __: StorageFailed) -> JSONResponse:
        return respond(
            Problem(503, "storage_unavailable", "the file storage cannot be reached now", headers={"Retry-After": "5"})
        )

    @app.exception_handler(HTTPException)
    def _(_: Request, error: HTTPException) -> JSONResponse:
        names = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "body_too_large"}
        code = names.get(error.status_code, "bad_request")
        return respond(Problem(error.status_code, code, str(error.detail), headers=error.headers))

    @app.exception_handler(Exception)
    def _(_: Request, __: Exception) -> JSONResponse:
        return respond(Problem(500, "internal_error", "this is a fault of the server; its log says more"))


def invalid(errors: Sequence[FieldError]) -> Problem:
    """Fields are wrong."""
    detail = "a field is wrong" if len(errors) == 1 else f"{len(errors)} fields are wrong"
    return Problem(422, "invalid", detail, errors=errors)


def respond(problem: Problem) -> JSONResponse:
    """The answer that says it."""
    document = ProblemDocument(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        code=problem.code,
        errors=list(problem.errors) or None,
    )
    return JSONResponse(
        document.model_dump(exclude_none=True), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def problem_schemas(ref_template: str) -> dict[str, Any]:
    """JSON schema of the problem document, and of what it refers to."""
    _, document = models_json_schema([(ProblemDocument, "serialization")], ref_template=ref_template)
    definitions: dict[str, Any] = document["$defs"]
    return definitions
