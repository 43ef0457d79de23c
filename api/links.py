"""Downloads that need no key: a link is signed, for one file, and for a while.

A link ends with the key that it was made with, and shows what that key's user may see when it is followed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Request

from api import schemas
from api.auth import KeyOfViewer, Session, SettingsOf, credentials_of, need, viewer_of
from api.problems import unauthenticated
from store import accounts, signing
from store.settings import Settings
from store.tables import ApiKey, User

LONGEST = 24 * 3600
Seconds = Annotated[int, Query(ge=1, le=LONGEST, description="How long the link is good for.")]
_PURPOSE = "download"


def signed(settings: Settings, key: ApiKey, path: str, *, format: str | None, seconds: int) -> schemas.Link:
    """A link to a download at `path`, in a format where there is a choice."""
    expires = int(time.time()) + seconds
    said = {"format": format} if format is not None else {}
    query = said | {"by": key.id, "expires": str(expires), "signature": _signature(settings, path, said, key, expires)}
    return schemas.Link(url=f"{path}?{urlencode(query)}", expires_at=datetime.fromtimestamp(expires, UTC))


class _Signer:
    """Signs links with the key that the request came with."""

    def __init__(self, settings: SettingsOf, key: KeyOfViewer, *, seconds: Seconds = 3600) -> None:
        self._settings = settings
        self._key = key
        self._seconds = seconds

    def __call__(self, path: str, *, format: str | None = None) -> schemas.Link:
        """A link to a download at `path`, in a format where there is a choice."""
        return signed(self._settings, self._key, path, format=format, seconds=self._seconds)


Signer = Annotated[_Signer, Depends(_Signer)]
"""Makes links; asks how long they shall be good for."""


def _signature(settings: Settings, path: str, said: dict[str, str], key: ApiKey, expires: int) -> str:
    return signing.sign(settings, _PURPOSE, path, said.get("format", ""), key.id, str(expires))


def _downloader(
    request: Request,
    session: Session,
    settings: SettingsOf,
    *,
    by: Annotated[str | None, Query(max_length=100, description="Of a signed link, as what follows.")] = None,
    expires: Annotated[int | None, Query(ge=0, le=2**40)] = None,
    signature: Annotated[str | None, Query(max_length=100)] = None,
) -> User:
    if signature is None or by is None or expires is None:
        return viewer_of(request, session, credentials_of(request))
    path = request.scope["route"].path.format(**request.path_params)
    format = request.query_params.get("format", "")
    parts = (path, format, by, str(expires))
    if any("\n" in part for part in parts) or not signing.is_signed(settings, signature, _PURPOSE, *parts):
        raise unauthenticated("this link was not made here, or was changed")
    if expires < time.time():
        raise unauthenticated("this link has expired: ask for another")
    key = accounts.key(session, by)
    if key is None:
        raise unauthenticated("the key that this link was made with has ended")
    request.app.state.rates.take(key.user_id)
    need(key, "read")
    return key.user


Downloader = Annotated[User, Depends(_downloader)]
"""The user who downloads: with a key, or with a link that one of their keys has signed."""
