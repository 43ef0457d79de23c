"""Send a stored file: ranges, strong validators, digest. What Starlette's `FileResponse` lacks is completed here."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from api.problems import Problem, respond
from store.blobs import BlobStore, DiskBlobs

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BYTES: dict[str, Any] = {"application/octet-stream": _BINARY, "*/*": {"schema": {}}}
"""A file's own type, whichever it is (JSON among them); the first is what generated clients understand."""
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": _BYTES},
    206: {"description": "The part that `Range` asks for", "content": _BYTES},
    304: {"description": "It is what `If-None-Match` names"},
    416: {"description": "The file has no such range"},
}
"""What a download answers with, for the API's document."""
_OF_BODY = ("content-length", "last-modified", "accept-ranges")
"""Headers that whoever sends the bytes writes."""
_ONE = r"[ \t]*(\d{1,18}-\d{0,18}|-\d{1,18})[ \t]*"
_RANGES = re.compile(rf"bytes={_ONE}(,{_ONE})*")


class Download(FileResponse):
    """A file that its sha256 names and that never changes.

    Adds to `FileResponse`: the sha256 as strong ETag and as `Repr-Digest` (RFC 9530), large chunks, a problem document
    where a range cannot be satisfied, and that a malformed range is ignored (RFC 9110, section 14.2).
    """

    chunk_size = 1 << 20

    def __init__(self, blobs: BlobStore, *, sha256: str, name: str, media_type: str, inline: bool = False) -> None:
        """Raises `Problem` where the bytes are missing."""
        path = _file(blobs, sha256)
        headers = {
            "ETag": f'"{sha256}"',
            "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:",
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
        }
        if inline:  # a report is read in the browser, where it may do no more than draw itself
            headers["Content-Security-Policy"] = "sandbox allow-scripts"
        disposition = "inline" if inline else "attachment"
        super().__init__(
            path,
            headers=headers,
            media_type=media_type,
            filename=name,
            content_disposition_type=disposition,
            stat_result=(status := path.stat()),
        )
        self._size = status.st_size
        self._place = f"{sha256[:2]}/{sha256}" if isinstance(blobs, DiskBlobs) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or the part that was asked for."""
        asked = Headers(scope=scope)
        if not_modified(asked.get("if-none-match"), self.headers["etag"]):
            kept = {name: self.headers[name] for name in ("etag", "cache-control")}
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        prefix = str(scope["app"].state.settings.sendfile)
        if prefix and self._place is not None:  # the proxy knows ranges, by the same tag
            kept = {name: value for name, value in self.headers.items() if name not in _OF_BODY}
            place = {"X-Accel-Redirect": f"{prefix.rstrip('/')}/{self._place}"}
            await Response(headers=kept | place)(scope, receive, send)
            return
        starts = self._range(asked)
        if starts is None:
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
        elif any(start >= self._size for start in starts):
            unmet = Problem(
                416,
                "range_not_satisfiable",
                f"the file has {self._size} bytes",
                headers={"Content-Range": f"bytes */{self._size}"},
            )
            await respond(unmet)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def _range(self, asked: Headers) -> list[int] | None:
        """First bytes of the ranges asked for; None where the whole file is to be sent."""
        if asked.get("if-range", self.headers["etag"]) != self.headers["etag"]:
            return None
        if not _RANGES.fullmatch(asked.get("range", "")):
            return None
        ends = [part.strip().split("-") for part in asked["range"].partition("=")[2].split(",")]
        if any(first and last and int(first) > int(last) for first, last in ends):
            return None
        return [int(first) if first else max(self._size - int(last), 0) for first, last in ends]


def _file(blobs: BlobStore, sha256: str) -> Path:
    try:
        return blobs.fetch(sha256)
    except FileNotFoundError:
        detail = "its bytes are missing in this server's storage: `sieve admin fsck` tells its owner more"
        raise Problem(503, "file_missing", detail) from None


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Does the client have it already? Compares weakly, as RFC 9110 (section 13.1.2) wants it."""
    if if_none_match is None:
        return False
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in if_none_match.split(","))
