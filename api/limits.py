"""How much a request may send."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Refuses bodies that are, or turn out to be, too large. FastAPI's own limit answers with plain text."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        """`largest`: bytes."""
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives; the exception goes through the application, which makes a problem of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        arrived = int(declared) if declared.isdecimal() and int(declared) > self._largest else 0

        async def limited() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._largest:
                raise HTTPException(413, f"a body may have {self._largest} bytes")
            return message

        await self._app(scope, limited, send)
