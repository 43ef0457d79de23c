"""Sign in with a key, and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from api.auth import Session
from api.pages import visitor as visiting
from api.pages.paper import Printed, away, page
from api.pages.visitor import COOKIE, VISIT, VisitorOf, form_token, genuine, inside, remember
from store import sessions

router = APIRouter(route_class=Printed, include_in_schema=False)


@router.get("/signin")
def ask(request: Request, next: str = "/") -> Response:
    """The form."""
    return _form(request, next)


@router.post("/signin", dependencies=[genuine])
def sign_in(
    request: Request,
    session: Session,
    key: Annotated[str, Form(max_length=500)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """With a key, which is not kept."""
    token = sessions.sign_in(session, key.strip())
    if token is None:
        return _form(request, next, error="This key is unknown, expired or revoked.")
    answer = away(request, inside(next))
    remember(request, answer, COOKIE, token, int(sessions.LONGEST.total_seconds()))
    return answer


@router.post("/signout", dependencies=[genuine])
def sign_out(request: Request, session: Session, visitor: VisitorOf) -> Response:
    """End this session."""
    sessions.sign_out(session, visitor.token)
    answer = away(request, "/signin")
    remember(request, answer, COOKIE, "", 0)
    return answer


def _form(request: Request, next: str, error: str = "") -> Response:
    cookie = request.cookies.get(COOKIE) or visiting.visit(request)
    values = {"next": inside(next), "error": error, "form_token": form_token(cookie)}
    answer = page(request, None, "signin.html.j2", status=401 if error else 200, **values)
    if COOKIE not in request.cookies:
        remember(request, answer, VISIT, cookie, visiting.MONTH)
    return answer
