"""`Idempotency-Key` on every POST: who asks again, because the answer was lost, gets the answer that there was.

`Repeatable` is the class of the routes. It looks for an earlier answer once it is known that the asker may ask, and
keeps the new one in the transaction of what was made. An answer that is a problem made nothing, and is not kept.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session as OrmSession

from api.auth import Session, Viewer
from api.looking import Looked
from api.problems import Problem
from store import idempotency, tables

NAME = "idempotency_key"
REPLAYED = "Idempotent-Replayed"
"""Header of an answer that was given before."""

_TOLD = """The same key and body give the first answer again, for a day; a job for as long as there is it. Another body
or path is refused. A secret is shown once: a repeated request that made one is refused, and says what was made."""
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200, description=" ".join(_TOLD.split()))]

ShownOnce = Annotated[str, Field(json_schema_extra={"format": "password"})]
"""A secret in an answer, which is not kept."""


@dataclass(frozen=True)
class _Asked:
    """A request that has a key."""

    key: str
    sha256: str
    """Of what is asked."""
    answer: Response
    """What the handler sets headers and status of."""
    usual_status: int


class Repeatable(Looked):
    """A route whose POST heeds the key, unless its handler sees to that itself."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, methods: Any = None, **settings: Any) -> None:
        if "POST" in (methods or ()) and NAME not in inspect.signature(endpoint).parameters:
            endpoint = _heeding(endpoint)
        super().__init__(path, endpoint, methods=methods, **settings)


def body_sha256(body: Any) -> str:
    """Of a body's values, however it is written."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


async def _asked(request: Request, response: Response, *, idempotency_key: IdempotencyKey = None) -> _Asked | None:
    if idempotency_key is None:
        return None
    route = request.scope["route"]
    body = await request.body() if route.body_field is not None else b""
    what = [request.method, request.url.path, request.url.query]
    try:
        sha256 = body_sha256([*what, json.loads(body or b"null")])
    except (ValueError, RecursionError):  # it is refused anyway
        sha256 = body_sha256([*what, body.decode("latin-1")])
    return _Asked(idempotency_key, sha256, response, route.status_code or 200)


_OfRequest = Annotated[_Asked | None, Depends(_asked)]
_LAST = {"_asked": _OfRequest, "_session": Session, "_viewer": Viewer}
"""Asked for after the handler's own parameters, so that whoever may not ask is turned away before."""


def _heeding(handler: Callable[..., BaseModel]) -> Callable[..., Any]:
    """The handler, which is not called again for a request that was answered before."""

    @functools.wraps(handler)
    def heeding(
        *arguments: Any, _asked: _Asked | None, _session: OrmSession, _viewer: tables.User, **named: Any
    ) -> BaseModel | Response:
        if _asked is None:
            return handler(*arguments, **named)
        earlier = idempotency.earlier(_session, _viewer, _asked.key, _asked.sha256)
        if earlier is not None and earlier.answer is not None:
            return _again(earlier.answer)
        made = handler(*arguments, **named)
        idempotency.keep_answer(_session, _viewer, _asked.key, _asked.sha256, _answer(_asked, made))
        return made

    signature = inspect.signature(handler)
    mine = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=told) for name, told in _LAST.items()]
    heeding.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *mine]
    )
    return heeding


def _answer(asked: _Asked, made: BaseModel) -> tables.Json:
    secret = {name for name, field in type(made).model_fields.items() if _is_secret(field.json_schema_extra)}
    return {
        "status": asked.answer.status_code or asked.usual_status,
        "location": asked.answer.headers.get("Location"),
        "body": made.model_dump_json(exclude=secret),
        "secret": sorted(secret),
    }


def _is_secret(told: Any) -> bool:
    return isinstance(told, dict) and told.get("format") == "password"


def _again(answer: tables.Json) -> Response:
    if answer["secret"]:
        made = json.loads(answer["body"]).get("id")
        what = f"it made {made}; its" if made else "its"
        shown = " and ".join(answer["secret"])
        raise Problem(409, "shown_once", f"this was done before: {what} {shown} was shown that once, and is not kept")
    headers = {REPLAYED: "true"}
    if answer["location"] is not None:
        headers["Location"] = answer["location"]
    return Response(answer["body"], answer["status"], headers=headers, media_type="application/json")
