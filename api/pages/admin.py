"""For admins: users, keys, limits, usage, holds, maintenance."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from api.auth import Session, SettingsOf
from api.pages.paper import Printed, away, page
from api.pages.visitor import AdminOf, SentOf, Visitor, genuine
from api.pointers import field_errors
from api.problems import invalid
from api.routes.accounts import Person
from api.routes.jobs import rings
from api.routes.lab import NewLimits, NewPolicy
from api.routes.slots import NewHold, list_slots
from store import accounts, limits, workers
from store.errors import Conflict, NotFound
from store.settings import Settings

router = APIRouter(route_class=Printed, include_in_schema=False, prefix="/admin")

LIMITS = ("max_running", "max_queued", "max_gpu_hours", "max_storage")


@router.get("")
def show(request: Request, session: Session, admin: AdminOf, settings: SettingsOf) -> Response:
    """The page."""
    return _shown(request, session, admin, settings)


@router.post("/users", dependencies=[genuine])
def add(request: Request, session: Session, admin: AdminOf, settings: SettingsOf, sent: SentOf) -> Response:
    """A new user, whose first key is shown on the page that answers and never again."""
    try:
        person = Person.model_validate({name: sent.get(name) for name in ("name", "role")})
        user = accounts.create_user(session, person.name, person.role)
    except ValidationError:
        wrong = "A name begins with a letter or digit, and goes on with letters, digits, “_”, “.”, “@” and “-”."
        return _shown(request, session, admin, settings, wrong=wrong)
    except Conflict as conflict:
        return _shown(request, session, admin, settings, wrong=f"{conflict}.")
    key = accounts.create_key(session, user, "first")
    return _shown(request, session, admin, settings, fresh=(user.name, key))


@router.post("/users/{name}/reset-keys", dependencies=[genuine])
def reset(name: str, request: Request, session: Session, admin: AdminOf, settings: SettingsOf) -> Response:
    """Old keys are worthless, and a new one is shown this once."""
    user = accounts.find_user(session, name)
    if user is None:
        raise NotFound("user", name)
    key = accounts.reset_keys(session, user, "reset")
    if user.id == admin.user.id:  # this session ended with its key
        return page(request, None, "problem.html.j2", problem=_own(key))
    return _shown(request, session, admin, settings, fresh=(name, key))


@router.post("/users/{name}/limits", dependencies=[genuine, rings])
def change_limits(name: str, request: Request, session: Session, admin: AdminOf, sent: SentOf) -> Response:
    """Empty is the lab's, `none` no limit."""
    del admin
    values = {field: _limit(sent[field].strip()) for field in LIMITS if field in sent}
    limits.set_limits(session, name, _checked(NewLimits, values))
    return away(request, "/admin#users")


@router.post("/policy", dependencies=[genuine, rings])
def change_policy(request: Request, session: Session, admin: AdminOf, sent: SentOf) -> Response:
    """How the lab shares its server. Empty is no limit."""
    del admin
    texts = {field: sent[field].strip() for field in NewPolicy.model_fields if field in sent and field != "maintenance"}
    values = {field: text == "true" if field == "preemption" else text or None for field, text in texts.items()}
    limits.set_policy(session, _checked(NewPolicy, values))
    return away(request, "/admin#policy")


@router.post("/maintenance", dependencies=[genuine, rings])
def maintain(request: Request, session: Session, admin: AdminOf, sent: SentOf) -> Response:
    """With a reason, no job starts any more; without one, jobs start again."""
    del admin
    limits.set_policy(session, _checked(NewPolicy, {"maintenance": sent.get("reason", "").strip() or None}))
    return away(request, "/admin#slots")


@router.post("/hold", dependencies=[genuine, rings])
def hold(request: Request, session: Session, admin: AdminOf, sent: SentOf) -> Response:
    """Keep a slot, or a whole host, from taking work."""
    host, _, slot = sent.get("where", "").partition("/")
    values = {"host": host, "slot": slot, "drain": sent.get("drain") == "on", "reason": sent.get("reason", "").strip()}
    workers.hold(session, admin.user, **_checked(NewHold, values))
    return away(request, "/admin#slots")


@router.post("/release", dependencies=[genuine, rings])
def release(request: Request, session: Session, admin: AdminOf, sent: SentOf) -> Response:
    """Let it take work again."""
    del admin
    host, _, slot = sent.get("where", "").partition("/")
    workers.release(session, host=host, slot=slot)
    return away(request, "/admin#slots")


def _shown(
    request: Request,
    session: Session,
    admin: Visitor,
    settings: Settings,
    *,
    fresh: tuple[str, str] | None = None,
    wrong: str = "",
) -> Response:
    return page(
        request,
        admin,
        "admin.html.j2",
        status=422 if wrong else 200,
        users={user.name: user for user in accounts.users(session)},
        standings=limits.standings(session),
        own={account.user_id: account for account in limits.own(session)},
        limits=LIMITS,
        policy=limits.policy(session),
        policy_fields=[name for name in NewPolicy.model_fields if name != "maintenance"],
        slots=list_slots(session, admin.user, settings).data,
        holds=list(workers.holds(session).values()),
        fresh=fresh,
        wrong=wrong,
    )


def _checked(model: Any, values: dict[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = model.model_validate(values).model_dump(exclude_unset=True)
    except ValidationError as error:
        located = ({**found, "loc": ("body", *found["loc"])} for found in error.errors(include_url=False))
        raise invalid(field_errors(located, values, model)) from None
    return found


def _limit(text: str) -> Any:
    return {"": None, "none": limits.UNLIMITED}.get(text, text)


def _own(key: str) -> dict[str, Any]:
    said = f"This is your new key, shown this once: {key} — sign in with it."
    return {"status": 200, "code": "new_key", "title": "Your keys were reset", "detail": said, "errors": None}
