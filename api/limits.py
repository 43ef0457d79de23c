"""How much a request may send."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Refuses bodies that are, or turn out to be, too large. FastAPI's own limit answers with plain text."""

    def __init__(self, app: ASGIApp, largest: int, piece: int) -> None:
        """In bytes; `piece`: of an upload."""
        self._app = app
        self._largest = largest
        self._piece = piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives; the exception goes through the application, which makes a problem of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        largest = self._piece if "/v1/uploads/" in scope["path"] else self._largest
        declared = Headers(scope=scope).get("content-length", "0")
        arrived = int(declared) if declared.isdecimal() and int(declared) > largest else 0

        async def limited() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > largest:
                raise HTTPException(413, f"a body may have {largest} bytes")
            return message

        await self._app(scope, limited, send)
