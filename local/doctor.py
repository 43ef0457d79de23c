"""`python -m local admin doctor`: is this installation fit for work, and if not, what is to be done."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import click
import pynvml
import redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from local.admin import installation
from sieve import __version__
from store.blobs import blob_store
from store.database import Database
from store.schema import Standing, standing
from store.settings import Settings
from store.workers import workers

LITTLE_BYTES = 10 << 30
FEW_FILES = 4096
SERVERS = range(15, 19)
"""Major versions of PostgreSQL that the SQL runs on."""


@dataclass(frozen=True)
class Verdict:
    """What one look found."""

    how: Literal["ok", "warning", "wrong"]
    what: str
    do: str = ""
    """What is to be done."""


@click.command("doctor")
def doctor_command() -> None:
    """Check versions, disk, servers, clocks, cards and rights; say what to do. Ends with 1 where something is wrong."""
    told = installation()
    worst = "ok"
    for look in LOOKS:
        for verdict in look(told):
            click.echo(f"{verdict.how:8} {verdict.what}")
            if verdict.do:
                click.echo(f"         -> {verdict.do}")
            worst = "wrong" if "wrong" in (worst, verdict.how) else worst
    sys.exit(worst == "wrong")


def _software(_: Settings) -> Iterator[Verdict]:
    found = []
    for name in ("torch", "torchvision", "celery", "sqlalchemy", "psycopg", "fastapi"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Verdict("wrong", f"{name} is not installed", "make setup")
    python = platform.python_version()
    yield Verdict("ok", f"Feature Sieve {__version__}, Python {python}, {', '.join(found)}")
    if shutil.which("g++") is None and shutil.which("c++") is None:
        yield Verdict("warning", "there is no C++ compiler: attacks are not compiled", "apt install g++")


def _home(told: Settings) -> Iterator[Verdict]:
    home = told.home
    if not home.is_dir() or not os.access(home, os.W_OK):
        yield Verdict("wrong", f"{home} cannot be written to", f"make it, and give it to the user {os.geteuid()}")
        return
    usage = shutil.disk_usage(home)
    said = f"{home}: {usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.1f} are free"
    if usage.free < LITTLE_BYTES:
        yield Verdict("warning", said, "`sieve admin gc`, delete jobs (`sieve delete`), or give it a larger disk")
    else:
        yield Verdict("ok", said)
    for name in ("admin.key", "address.json"):
        file = home / name
        if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Verdict("wrong", f"others can read {file}", f"chmod 600 {file}")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < FEW_FILES:
        yield Verdict(
            "warning", f"a process may open {files} files", f"ulimit -n {FEW_FILES}, or LimitNOFILE= in its unit"
        )
    shared = Path("/dev") / "shm"
    if shared.is_dir() and (size := shutil.disk_usage(shared).total) < 512 << 20:
        yield Verdict("warning", f"{shared} has {size >> 20} MiB", "--shm-size 1g, or shm_size in compose")


def _database(told: Settings) -> Iterator[Verdict]:
    database = Database(told.database_url)
    try:
        with database.transaction() as session:
            before = time.time()
            there = float(session.scalar(text("select extract(epoch from clock_timestamp())")) or 0)
            apart = abs(there - (before + time.time()) / 2)
            major = int(session.scalar(text("show server_version_num")) or 0) // 10000
            schema = standing(session)
            off = [
                name
                for name in ("fsync", "synchronous_commit", "full_page_writes")
                if session.scalar(text(f"show {name}")) == "off"
            ]
            living = workers(session)
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines()[0]
        yield Verdict(
            "wrong", f"PostgreSQL: {said}", "look at DATABASE_URL (or its file of secrets), and whether it runs"
        )
        return
    finally:
        database.dispose()
    if major in SERVERS:
        yield Verdict("ok", f"PostgreSQL {major} answers")
    else:
        yield Verdict("warning", f"PostgreSQL {major} answers; tried are {SERVERS[0]} to {SERVERS[-1]}")
    if schema is Standing.SAME:
        yield Verdict("ok", f"the database is {schema}")
    else:
        said, _, do = schema.partition(": ")
        yield Verdict("wrong", f"the database is {said}", do)
    for name in off:
        yield Verdict("wrong", f"PostgreSQL has {name} off: a power cut loses jobs", f"alter system set {name} = on")
    if apart > 1:
        yield Verdict("warning", f"this clock and PostgreSQL's are {apart:.1f} s apart", "run an NTP client on both")
    if not living:
        yield Verdict("warning", "no worker is signed in", "start one: `python -m worker`, or its unit or container")
    for worker in living:
        if worker.version != __version__:
            yield Verdict("warning", f"{worker.id} on {worker.host} is of version {worker.version}", "upgrade it")


def _redis(told: Settings) -> Iterator[Verdict]:
    url = told.redis_url.replace("redis+socket://", "unix://")
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3) as connection:
            connection.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        do = "look at REDIS_URL and whether it runs; until then slots look for work by themselves every few seconds"
        yield Verdict("warning", f"Redis: {error}", do)
    else:
        yield Verdict("ok", "Redis answers")


def _blobs(told: Settings) -> Iterator[Verdict]:
    probe = told.home / "doctor.probe"
    try:
        probe.write_bytes(os.urandom(16))
        blobs = blob_store(told)
        sha256, size = blobs.put(probe)
        whole = blobs.holds(sha256, size)
        blobs.delete(sha256)
    except OSError as error:
        yield Verdict("wrong", f"the blob store: {error}", "look at SIEVE_BLOB_STORE, its credentials and its rights")
    else:
        where = told.blob_store or str(told.blobs)
        yield Verdict(
            "ok" if whole else "wrong", f"{where} {'keeps' if whole else 'does not keep'} what is put into it"
        )
    finally:
        probe.unlink(missing_ok=True)


def _cards(_: Settings) -> Iterator[Verdict]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield Verdict("ok", "no NVIDIA driver: slots are on the CPU")
        return
    try:
        driver, count = pynvml.nvmlSystemGetDriverVersion(), pynvml.nvmlDeviceGetCount()
        cuda = pynvml.nvmlSystemGetCudaDriverVersion() // 1000
    finally:
        pynvml.nvmlShutdown()
    import torch  # noqa: PLC0415 - takes seconds, and matters only where there is a card

    built = torch.version.cuda
    if built is None:
        yield Verdict(
            "wrong", f"{count} cards (driver {driver}), and a PyTorch without CUDA", "install PyTorch with CUDA"
        )
    elif int(built.split(".")[0]) > cuda:
        yield Verdict("wrong", f"driver {driver} knows CUDA {cuda}, PyTorch wants {built}", "upgrade the driver")
    elif not torch.cuda.is_available():
        yield Verdict("wrong", f"{count} cards, and PyTorch cannot use them", "is the container started with GPUs?")
    else:
        yield Verdict("ok", f"{count} cards, driver {driver}, PyTorch's CUDA {built}")


LOOKS: tuple[Callable[[Settings], Iterator[Verdict]], ...] = (_software, _home, _database, _redis, _blobs, _cards)
