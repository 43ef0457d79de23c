"""The server's own secret: what is signed with it was made here. It lies beside the database, never in it.

Everything that is signed says first what it is for, so that no signature of one sort can stand for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

from store.settings import Settings


def sign(settings: Settings, purpose: str, *parts: str) -> str:
    """A signature of `parts`, which may hold anything but a line feed: 43 characters, safe in a URL."""
    return base64.urlsafe_b64encode(_mac(settings, purpose, *parts)).decode().rstrip("=")


def is_signed(settings: Settings, signature: str, purpose: str, *parts: str) -> bool:
    """Is this the signature of `parts`? Compares in constant time."""
    return hmac.compare_digest(sign(settings, purpose, *parts).encode(), signature.encode("utf-8", "replace"))


def derived(settings: Settings, purpose: str, *parts: str) -> bytes:
    """A secret of 32 bytes that need not be stored: it can always be had again."""
    return _mac(settings, purpose, *parts)


def _mac(settings: Settings, purpose: str, *parts: str) -> bytes:
    assert not any("\n" in part for part in (purpose, *parts))
    return hmac.new(_key(settings), "\n".join((purpose, *parts)).encode("utf-8", "replace"), hashlib.sha256).digest()


def _key(settings: Settings) -> bytes:
    if settings.signing_key is not None:
        return settings.signing_key.get_secret_value().encode()
    return _kept(settings.home / "signing.key")


@lru_cache(maxsize=8)
def _kept(path: Path) -> bytes:
    """The secret in the data folder, made when it is first asked for. Of several who make one, the first's stays."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_bytes()
