"""Identifiers: a prefix that says what it is, then 26 characters that sort by time of creation."""

from __future__ import annotations

from typing import Literal

from ulid import ULID

Prefix = Literal["job", "ds", "mdl", "art", "usr", "key", "upl", "wrk"]


def new_id(prefix: Prefix) -> str:
    """A fresh identifier such as `job_01jd3h7v0c8k2m4n6p8q0r2s4t`: 48 bits of time, 80 random ones."""
    return f"{prefix}_{str(ULID()).lower()}"
