"""Identifiers: a prefix that says what it is, then 26 characters that sort by time of creation."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from ulid import ULID

Prefix = Literal["job", "ds", "mdl", "art", "usr", "key", "upl", "wrk", "whk", "msg"]


def new_id(prefix: Prefix) -> str:
    """A fresh identifier such as `job_01jd3h7v0c8k2m4n6p8q0r2s4t`: 48 bits of time, 80 random ones."""
    return f"{prefix}_{str(ULID()).lower()}"


def least_id(prefix: Prefix, at: datetime) -> str:
    """No identifier made at this time or later is less: ids sort by time, so a stretch of time is one of ids."""
    milliseconds = int(at.timestamp() * 1000)
    return f"{prefix}_{str(ULID.from_bytes(max(milliseconds, 0).to_bytes(6, 'big') + bytes(10))).lower()}"
