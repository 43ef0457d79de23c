"""Opaque cursors: a page of a list, and where the next one begins."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query, Response
from pydantic import BaseModel

from api.pointers import FieldError
from api.problems import invalid
from api.schemas import Page

RowT = TypeVar("RowT")
ItemT = TypeVar("ItemT")

Limit = Annotated[int, Query(ge=1, le=500, description="At most this many.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]


def encode(last_id: str) -> str:
    """The cursor of what follows an id."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode(cursor: str | None) -> str | None:
    """The id that a cursor stands for.

    Raises:
        Problem: 422, it is none of ours.
    """
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        raise invalid([FieldError(pointer="cursor", message="this is no cursor: take it from `next`")]) from None


def answer(body: BaseModel) -> Response:
    """What is asked for often, as JSON at once: FastAPI would check it anew and turn it into dictionaries first."""
    return Response(body.model_dump_json(), media_type="application/json")


def page(rows: Sequence[RowT], limit: int, id_of: Callable[[RowT], str], item: Callable[[RowT], ItemT]) -> Page[ItemT]:
    """A page of `limit` rows; a row more than that was asked for says that there is another page."""
    more = len(rows) > limit
    return Page(data=[item(row) for row in rows[:limit]], next=encode(id_of(rows[limit - 1])) if more else None)
