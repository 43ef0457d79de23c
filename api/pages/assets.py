"""What browsers keep: our styles and scripts, and the plot library's from its own package. Read once, sent compressed.

The address holds a hash of all of it, so that a browser never has to ask again, and never mixes versions.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request, Response

from api.problems import not_found

router = APIRouter(prefix="/static", include_in_schema=False)

FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@router.get("/{hashed}/{name}")
def send(hashed: str, name: str, request: Request) -> Response:
    """One of the files."""
    if name not in _names():
        raise not_found("file")
    whole, packed = _content(name)
    small = "gzip" in request.headers.get("accept-encoding", "")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if hashed == version() else "no-cache",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if small:
        headers["Content-Encoding"] = "gzip"
    return Response(packed if small else whole, headers=headers, media_type=_TYPES[Path(name).suffix])


@lru_cache(1)
def version() -> str:
    """Of all files together."""
    found = hashlib.sha256()
    for name in sorted(_names()):
        found.update(name.encode() + b"\0" + _bytes(name))
    return found.hexdigest()[:16]


@lru_cache(1)
def _names() -> frozenset[str]:
    return frozenset({"plotly.min.js", *(path.name for path in FOLDER.iterdir() if path.suffix in _TYPES)})


@lru_cache
def _content(name: str) -> tuple[bytes, bytes]:
    """Whole, and compressed."""
    whole = _bytes(name)
    return whole, gzip.compress(whole, 6, mtime=0)


def _bytes(name: str) -> bytes:
    if name == "plotly.min.js":
        return (files("plotly") / "package_data" / name).read_bytes()
    return (FOLDER / name).read_bytes()
