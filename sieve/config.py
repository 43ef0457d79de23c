"""Where the server is and which key to show it: option > environment > file.

The file is `$SIEVE_CONFIG`, or else `~/.config/sieve/config.toml`:

    url = "https://sieve.example.org"
    key = "sieve_…"

`sieve login` writes it, and so does `sieve up` for its own server.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from sieve.errors import ConfigurationError


@dataclass(frozen=True)
class Config:
    """An address and a key."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Config(url={self.url!r}, key='…')"


def config_path() -> Path:
    """The file that holds the address and the key."""
    given = os.environ.get("SIEVE_CONFIG")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sieve" / "config.toml"


def save_config(config: Config, path: Path | None = None) -> Path:
    """Write the file, readable by its owner alone; gives its path."""
    path = path or config_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(path.name + ".part")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"url = {json.dumps(config.url)}\nkey = {json.dumps(config.key)}\n")
    partial.replace(path)
    return path


def find_config(url: str | None = None, key: str | None = None) -> Config:
    """The address and the key to use, each from the first place that names it.

    The file's key goes only to the file's own address: it is never shown to another server.

    Raises:
        ConfigurationError: no place names an address, or the file cannot be read.
    """
    url = url or os.environ.get("SIEVE_URL")
    key = key or os.environ.get("SIEVE_API_KEY")
    if not (url and key):
        stored = _read(config_path())
        if url is None or url.rstrip("/") == stored.get("url", "").rstrip("/"):
            url, key = url or stored.get("url"), key or stored.get("key")
    if not url:
        raise ConfigurationError(
            "no server is named: give its address, set SIEVE_URL and SIEVE_API_KEY, or run `sieve login`"
        )
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{url!r} is not the address of a server: it starts with neither http:// nor https://")
    return Config(url.rstrip("/"), key or "")


def _read(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return {name: str(value) for name, value in values.items()}
