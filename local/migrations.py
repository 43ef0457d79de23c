"""Bring a database to the newest schema, in this process."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

CHECKOUT = Path(__file__).resolve().parent.parent


def migrate(url: str) -> None:
    """Run every migration that `url` has not had yet. Safe to run again, and by several at once."""
    config = Config(CHECKOUT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")
