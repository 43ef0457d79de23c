"""How the lab shares its server: what everybody used, limits, maintenance."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api import account_schemas, lab_schemas, schemas
from api.auth import Session, Viewer, admins_only, signed_in
from api.idempotency import Repeatable
from api.problems import Problem
from api.routes.jobs import rings
from api.submission import Text
from store import accounts, limits, tables
from store.errors import NotFound

router = APIRouter(prefix="/v1", tags=["lab"], route_class=Repeatable)

_Count = Annotated[int, Field(ge=0, le=10**9)]
_Hours = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Bytes = Annotated[int, Field(ge=0, le=10**18)]


class NewLimits(BaseModel):
    """Limits of one user. What is not given stays, null is the lab's, -1 no limit."""

    model_config = ConfigDict(extra="forbid")

    max_running: Annotated[int, Field(ge=-1, le=10**9)] | None = None
    max_queued: Annotated[int, Field(ge=-1, le=10**9)] | None = None
    max_gpu_hours: Annotated[float, Field(ge=-1, le=1e9, allow_inf_nan=False)] | None = None
    max_storage: Annotated[int, Field(ge=-1, le=10**18)] | None = None


class NewPolicy(BaseModel):
    """What changes. What is not given stays."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    maintenance: Annotated[Text, Field(min_length=1)] | None = None
    """Why no job starts from now on, shown to everybody who waits; null ends it."""
    half_life_hours: Annotated[float, Field(gt=0, le=1e6)] = 168
    cpu_rate: Annotated[float, Field(ge=0, le=1000)] = 0.1
    max_running: _Count | None = None
    """Of each user who has no limit of their own, as what follows; null is no limit."""
    max_queued: _Count | None = None
    max_gpu_hours: _Hours | None = None
    """A week."""
    max_storage: _Bytes | None = None
    preemption: bool = True
    short_seconds: Annotated[float, Field(ge=0, le=1e6)] = 900
    least_run_seconds: Annotated[float, Field(ge=0, le=1e6)] = 300
    stall_minutes: Annotated[float, Field(gt=0, le=1e6)] | None = None


@router.get("/usage")
def show_usage(
    session: Session,
    viewer: Viewer,
    *,
    user: Annotated[str | None, Query(description="Somebody else; for admins.")] = None,
) -> lab_schemas.Usage:
    """What you used and may use, and the last 30 days on which your jobs ran."""
    person = viewer
    if user is not None and user != viewer.name:
        if viewer.role != "admin":
            raise Problem(403, "admins_only", "only an admin may see what others used")
        found = accounts.find_user(session, user)
        if found is None:
            raise NotFound("user", user)
        person = found
    (standing,) = limits.standings(session, person)
    days = [
        lab_schemas.Day(
            day=row.day,
            gpu_hours=row.gpu_seconds / 3600,
            cpu_hours=row.cpu_seconds / 3600,
            kilowatt_hours=row.joules / 3.6e6,
        )
        for row in limits.days(session, person)
    ]
    return lab_schemas.Usage(**_standing(standing).model_dump(), days=days)


@router.get("/standings", dependencies=[admins_only])
def list_standings(session: Session) -> schemas.Page[lab_schemas.Standing]:
    """What everybody used and may use. For admins."""
    return schemas.Page(data=[_standing(one) for one in limits.standings(session)])


@router.patch("/users/{name}/limits", dependencies=[admins_only, rings])
def change_limits(name: str, body: NewLimits, session: Session) -> lab_schemas.Standing:
    """Change a user's own limits. For admins."""
    return _standing(limits.set_limits(session, name, body.model_dump(exclude_unset=True)))


@router.post("/users/{name}/reset-keys", status_code=201, dependencies=[admins_only])
def reset_keys(name: str, session: Session) -> account_schemas.NewKey:
    """Make all keys of a user worthless and give a new one, which is shown this once. For admins."""
    user = accounts.find_user(session, name)
    if user is None:
        raise NotFound("user", name)
    return account_schemas.NewKey(key=accounts.reset_keys(session, user, "reset"))


@router.get("/policy", dependencies=[signed_in])
def show_policy(session: Session) -> lab_schemas.Policy:
    """How the lab shares its server."""
    return _policy(limits.policy(session))


@router.patch("/policy", dependencies=[admins_only, rings])
def change_policy(body: NewPolicy, session: Session) -> lab_schemas.Policy:
    """Change how the lab shares its server; begin or end maintenance. For admins."""
    return _policy(limits.set_policy(session, body.model_dump(exclude_unset=True)))


def _standing(one: limits.Standing) -> lab_schemas.Standing:
    return lab_schemas.Standing(
        user=one.name,
        share=round(one.share, 1),
        running=lab_schemas.Used(used=one.running, limit=one.max_running),
        queued=lab_schemas.Used(used=one.waiting, limit=one.max_queued),
        gpu_hours_this_week=lab_schemas.Used(used=round(one.week_gpu_hours, 4), limit=one.max_gpu_hours),
        storage=lab_schemas.Used(used=one.storage, limit=one.max_storage),
        gpu_hours=round(one.gpu_hours, 4),
        cpu_hours=round(one.cpu_hours, 4),
        kilowatt_hours=round(one.kilowatt_hours, 4),
    )


def _policy(row: tables.Policy) -> lab_schemas.Policy:
    values: dict[str, Any] = {name: getattr(row, name) for name in lab_schemas.Policy.model_fields}
    return lab_schemas.Policy(**values)
