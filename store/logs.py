"""How processes log: JSON, one object a line, or text at a terminal; with the job in question, without secrets.

Nobody can forge a line: what comes from outside is escaped (JSON does that by itself), and the lines of a traceback are
marked as what they are.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 - never changed, only replaced

_SECRETS = (
    (re.compile(r"(sieve_[0-9a-f]{4,}_)[\w-]{8,}"), r"\1…"),
    (re.compile(r"(\w://[^:/@\s]*:)[^@/\s]+(?=@)"), r"\1…"),
    (re.compile(r"(?i)(bearer\s+)(?!sieve_)[\w.~+/-]+"), r"\1…"),
    (re.compile(r"(?i)(secret_access_key\W+)[\w/+]+"), r"\1…"),
)
"""API keys, passwords in addresses, bearer tokens, S3 keys."""


@contextmanager
def about(**what: Any) -> Iterator[None]:
    """Everything that this thread (or task) logs in the block is about this: `job`, `attempt`."""
    token = _about.set({**_about.get(), **what})
    try:
        yield
    finally:
        _about.reset(token)


def configure(form: Literal["auto", "json", "text"] = "auto", *, level: int = logging.INFO) -> None:
    """Let the process log to stderr. `auto` is text at a terminal, else JSON."""
    handler = logging.StreamHandler(sys.stderr)
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler.setFormatter(_Text() if as_text else _Json())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("alembic", "celery", "kombu", "botocore", "boto3", "s3transfer", "urllib3", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def without_secrets(text: str) -> str:
    """A text with every secret in it struck out."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class _Json(JsonFormatter):
    """{"time", "level", "logger", "message", what it is about, "exc_info"}"""

    def __init__(self) -> None:
        renamed = {"levelname": "level", "name": "logger", "timestamp": "time"}
        super().__init__(["levelname", "name", "message"], style=",", timestamp=True, rename_fields=renamed)

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        record.__dict__.update(_about.get())
        record.__dict__.pop("color_message", None)  # uvicorn's, for terminals
        return without_secrets(super().format(record))


class _Text(logging.Formatter):
    """time level logger [job attempt]: message; a traceback below it, each line after a bar."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(about)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line; more only where there is a traceback."""
        about = " ".join(str(value) for value in _about.get().values())
        record.__dict__["about"] = f" [{about}]" if about else ""
        return without_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """One line, whatever is in the message."""
        return "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode()
            for char in super().formatMessage(record)
        )

    def formatException(self, info: Any) -> str:  # noqa: N802
        """A traceback that cannot be taken for lines of the log."""
        return "\n".join(f"  | {line}" for line in super().formatException(info).splitlines())
