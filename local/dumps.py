"""PostgreSQL's own programs for dumping and restoring: the wheel's, those on the PATH, those of Debian's packages."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from local.errors import LocalError, ServerFailed
from local.postgres import programs_folder

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


def run(program: str, arguments: list[str], *, url: str, major: int) -> None:
    """Run `pg_dump` or `pg_restore` on a database whose server is of this major version.

    The address goes through the environment, so that no list of processes shows a password.

    Raises:
        LocalError: there is none that knows this server, or it failed; says why.
    """
    path = _program(program, major)
    done = subprocess.run([path, *arguments], env=_environment(url), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalError(f"{path} failed:\n{done.stderr.strip()[-2000:]}")


def _program(name: str, major: int) -> str:
    """The oldest that is not older than the server: a newer one writes what an older server cannot read."""
    found = sorted((version, path) for path in _candidates(name) if (version := _major(path)) >= major)
    if not found:
        raise LocalError(f"there is no {name} of PostgreSQL {major} or newer here: install postgresql-client-{major}")
    return found[0][1]


def _candidates(name: str) -> Iterator[str]:
    with contextlib.suppress(ServerFailed, ModuleNotFoundError):  # a server without the wheel
        yield str(programs_folder() / "bin" / name)
    if on_path := shutil.which(name):
        yield on_path
    yield from (str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))


def _major(path: str) -> int:
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+", shown)
    return int(number[0]) if number else 0


def _environment(url: str) -> dict[str, str]:
    parsed = make_url(url)
    _, told = parsed.get_dialect()().create_connect_args(parsed)
    known = {_VARIABLES[name]: str(value) for name, value in told.items() if name in _VARIABLES and value is not None}
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **known}
