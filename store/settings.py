"""Settings of the server, from the environment (`SIEVE_…`, `DATABASE_URL`, `REDIS_URL`) or files of secrets.

A file of `$SIEVE_SECRETS_DIR` that is called like a variable (`database_url`) stands in for it.
"""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything that differs between two installations."""

    model_config = SettingsConfigDict(env_prefix="SIEVE_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    database_url: str = Field(validation_alias=AliasChoices("DATABASE_URL", "SIEVE_DATABASE_URL"))
    """PostgreSQL 15 or later, such as postgresql+psycopg://user:password@host/sieve."""
    redis_url: str = Field(validation_alias=AliasChoices("REDIS_URL", "SIEVE_REDIS_URL"))
    """Redis, such as redis://:password@host:6379/0."""
    home: Path
    """Data folder: blobs, scratch, downloaded datasets."""
    blob_store: str | None = Field(default=None, pattern=r"^s3://[^/]+")
    """Where artifacts and checkpoints are kept, as s3://bucket/prefix; without it, in the data folder."""
    s3_endpoint: str | None = None
    """Address of an S3 server that is not Amazon's, such as https://minio.lab.example."""
    cache_bytes: int = Field(default=50 << 30, ge=0)
    """With S3: about how much of it is kept in the data folder for reading."""
    garbage_seconds: float = Field(default=3600, gt=0)
    """How often blobs that nothing refers to are looked for, and what is kept too long; also how long such a blob stays
    before it is deleted, which must be longer than a download may take to begin."""
    max_upload: int = Field(default=20 << 30, ge=1)
    """Bytes that a file may have that somebody sends."""
    keep_uploads_days: float = Field(default=7, ge=0)
    """How long files that were sent are kept beside the datasets that were made of them."""
    keep_checkpoints_days: float = Field(default=30, ge=0)
    """How long a job that failed or was cancelled can be tried again from its checkpoint."""
    keep_events_days: float = Field(default=365, ge=0)
    """How long progress, checkpoints and resumptions of ended jobs are remembered; changes of state are for ever."""
    keep_logs_days: float = Field(default=365, ge=0)
    """How long the logs of ended jobs are kept."""
    lease_seconds: float = Field(default=20, gt=0)
    """A running attempt that is not renewed for this long is taken from its worker."""
    heartbeat_seconds: float = Field(default=5, gt=0)
    """How often a worker renews."""
    look_seconds: float = Field(default=5, gt=0)
    """A free slot that has heard nothing for this long looks for work by itself."""
    checkpoint_seconds: float = Field(default=30, ge=0)
    """Least time between two checkpoints of a job."""
    max_failures: int = Field(default=3, ge=1)
    """Charged ends (crash, out of memory, lost lease) after which a job fails."""
    devices: str = "auto"
    """Devices to make slots of, such as `cuda:0,cuda:1` or `cpu`; `auto` takes every GPU, or else the CPU."""
    cpu_slots: int = Field(default=0, ge=0)
    """Slots on the CPU; 0 for one a core where there is no GPU, else one."""
    slot_threads: int = Field(default=1, ge=1)
    """Threads of a CPU slot. Fixed, so that results do not depend on the machine's size."""

    host: str = Field(default_factory=platform.node, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    """What this host is called in lists of slots; two hosts of one installation need different names."""
    foreign_mib: int = Field(default=1024, ge=0)
    """A GPU of whose memory other programs hold more than this many MiB is left alone while they do."""
    blobs_folder: Path | None = Field(default=None, validation_alias="SIEVE_BLOBS")
    """Folder of artifacts and checkpoints, such as one that several hosts share; `blobs` in the data folder where it is
    not given."""
    scratch_folder: Path | None = Field(default=None, validation_alias="SIEVE_SCRATCH")
    """Where attempts write before they publish; `scratch` in the data folder where it is not given. Hosts that share a
    data folder give each its own."""

    min_free_bytes: int = Field(default=512 << 20, ge=0)
    """A worker takes no jobs while its data folder's disk has less than this left."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """What processes log: `auto` is text at a terminal, else JSON."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of 127.0.0.1 on which a worker tells Prometheus its own figures; 0 for none. The API has `/metrics`."""
    requests_per_second: float = Field(default=50, ge=0)
    """How many requests a user may make over time, of one API process; ten seconds' worth may come at once. 0: any."""
    signing_key: SecretStr | None = Field(default=None, min_length=32)
    """What links to downloads and webhooks are signed with; the same for all API processes. Without it one is made, and
    kept in the data folder as `signing.key`."""
    webhook_allow: str = Field(default="", pattern=r"^[A-Za-z0-9.:/, _-]*$")
    """Hosts (`hooks.lab.example`) and networks (`10.1.0.0/16`), with commas between, that webhooks may reach though
    their addresses are private."""
    root_path: str = Field(default="", pattern=r"^(/[\w.~-]+)*$")
    """Prefix that a proxy in front of the API takes off, such as /sieve."""
    sendfile: str = Field(default="", pattern=r"^(/[\w.~-]+)*/?$")
    """Path under which a proxy in front of the API can send files from the blob folder, such as /blobs/: the API then
    answers with `X-Accel-Redirect` and no bytes. Empty: the API sends them."""
    trusted_proxies: str = "127.0.0.1"
    """Addresses (with commas between) of proxies that are believed who the client is; `*` for any."""

    @property
    def blobs(self) -> Path:
        """Where artifacts and checkpoints live, by their hash."""
        return self.blobs_folder or self.home / "blobs"

    @property
    def scratch(self) -> Path:
        """Where attempts write before they publish."""
        return self.scratch_folder or self.home / "scratch"

    @property
    def datasets(self) -> Path:
        """Where built-in datasets are downloaded to."""
        return self.home / "datasets"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings(_secrets_dir=os.environ.get("SIEVE_SECRETS_DIR"))
