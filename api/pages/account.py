"""One's own keys, and what one used."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.auth import Session
from api.pages.paper import Printed, away, page
from api.pages.visitor import HolderOf, SentOf, Visitor, VisitorOf, genuine
from store import accounts, limits

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/account")


@router.get("")
def show(request: Request, session: Session, visitor: VisitorOf) -> Response:
    """The page."""
    return _shown(request, session, visitor)


@router.post("/keys", dependencies=[genuine])
def create(request: Request, session: Session, visitor: HolderOf, sent: SentOf) -> Response:
    """A new key, shown on the page that answers and never again."""
    key = accounts.create_key(session, visitor.user, "".join(filter(str.isprintable, sent.get("name", "")[:200])))
    return _shown(request, session, visitor, key=key)


@router.post("/keys/{key_id}/revoke", dependencies=[genuine])
def revoke(key_id: str, request: Request, session: Session, visitor: HolderOf) -> Response:
    """Make a key worthless; whoever signed in with it is signed out."""
    accounts.revoke_key(session, visitor.user, key_id)
    return away(request, "/account")


def _shown(request: Request, session: Session, visitor: Visitor, *, key: str = "") -> Response:
    (standing,) = limits.standings(session, visitor.user)
    return page(
        request,
        visitor,
        "account.html.j2",
        standing=standing,
        days=limits.days(session, visitor.user),
        keys=accounts.keys(session, visitor.user),
        fresh=key,
    )
