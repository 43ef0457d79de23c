"""Blobs in S3 or what speaks like it, with a local folder of those that were read.

An object arrives under a staging key and is copied to its name once it is whole: `PREFIX/ab/abcdef…`. Credentials are
found where boto3 looks for them (environment, files, the machine's role). Transfers run in the calling thread, one
stream each, so that `tick` is called from it.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from store.blobs import DiskBlobs, Kept, StorageFailed, sha256_of

_UPLOAD = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=64 << 20, use_threads=False)
_COPY = TransferConfig(multipart_threshold=1 << 30, multipart_chunksize=1 << 30, use_threads=False)
_KEPT_SECONDS = 3600.0
"""What was asked for within this time stays in the cache: somebody may be about to open it."""


class S3Blobs:
    """A bucket, or what is below one prefix of it."""

    def __init__(self, address: str, cache: Path, *, endpoint: str | None = None, cache_bytes: int = 50 << 30) -> None:
        """`address` is s3://BUCKET/PREFIX; `endpoint` is the address of a server that is not Amazon's."""
        self.bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._cache, self._cache_bytes = DiskBlobs(cache), cache_bytes
        patience = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})
        self._client = boto3.client("s3", endpoint_url=endpoint, config=patience)

    def put(self, source: Path, tick: Callable[[], None] = lambda: None) -> tuple[str, int]:
        """Upload under a staging key, check the size that arrived, copy to the name, remove the staging key."""
        sha256, size = sha256_of(source), source.stat().st_size
        staging = f"{self._prefix}arriving/{uuid.uuid4().hex}"
        with _told(f"s3://{self.bucket}/{staging}"):
            try:
                self._client.upload_file(str(source), self.bucket, staging, Callback=lambda _: tick(), Config=_UPLOAD)
                if self._size(staging) != size:
                    raise StorageFailed(f"s3://{self.bucket}/{staging} did not arrive whole")
                self._client.copy({"Bucket": self.bucket, "Key": staging}, self.bucket, self._key(sha256), Config=_COPY)
            finally:
                with contextlib.suppress(ClientError, BotoCoreError):  # a killed put leaves it to `clear_arriving`
                    self._client.delete_object(Bucket=self.bucket, Key=staging)
        return sha256, size

    def holds(self, sha256: str, size: int) -> bool:
        """Asks for the object's size."""
        try:
            return self._size(self._key(sha256)) == size
        except FileNotFoundError:
            return False

    def fetch(self, sha256: str, tick: Callable[[], None] = lambda: None) -> Path:
        """From the cache, or downloaded into it. What has another hash than its name says counts as missing."""
        path = self._cache.path(sha256)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
            return path
        with _told(f"s3://{self.bucket}/{self._key(sha256)}"), self.open(sha256) as reading:
            received, _ = self._cache.receive(reading, tick)
        if received != sha256:
            self._cache.delete(received)
            raise FileNotFoundError(f"s3://{self.bucket}/{self._key(sha256)} is damaged: it has another sha256")
        self._evict()
        return path

    def open(self, sha256: str) -> BinaryIO:
        """A stream from the server, past the cache."""
        with _told(f"s3://{self.bucket}/{self._key(sha256)}"):
            return cast(BinaryIO, self._client.get_object(Bucket=self.bucket, Key=self._key(sha256))["Body"])

    def delete(self, sha256: str) -> None:
        """From the bucket and from this machine's cache; others' caches forget it in time."""
        with _told(f"s3://{self.bucket}/{self._key(sha256)}"):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(sha256))
        self._cache.delete(sha256)

    def everything(self) -> Iterator[Kept]:
        """All objects below the prefix but those that arrive."""
        for key, size, at in self._listed(""):
            folder, _, name = key.removeprefix(self._prefix).partition("/")
            if len(folder) == 2 and name:
                yield Kept(name, size, at)

    def clear_arriving(self, seconds: float) -> int:
        """Staging keys and unfinished uploads."""
        old, cleared = datetime.now(UTC) - timedelta(seconds=seconds), 0
        with _told(f"s3://{self.bucket}/{self._prefix}arriving/"):
            for key, _, at in self._listed("arriving/"):
                if at < old:
                    self._client.delete_object(Bucket=self.bucket, Key=key)
                    cleared += 1
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=f"{self._prefix}arriving/"
            )
            for upload in (upload for page in pages for upload in page.get("Uploads", [])):
                if upload["Initiated"] < old:
                    key, number = upload["Key"], upload["UploadId"]
                    self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=number)
                    cleared += 1
        return cleared

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}{sha256[:2]}/{sha256}"

    def _size(self, key: str) -> int:
        with _told(f"s3://{self.bucket}/{key}"):
            return self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]

    def _listed(self, below: str) -> Iterator[tuple[str, int, datetime]]:
        with _told(f"s3://{self.bucket}/{self._prefix}{below}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._prefix + below
            )
            for page in pages:
                for found in page.get("Contents", []):
                    yield found["Key"], found["Size"], found["LastModified"]

    def _evict(self) -> None:
        """Make the cache small enough again, what was asked for longest ago first."""
        kept = sorted(self._cache.everything(), key=lambda one: one.at)
        too_much = sum(one.size for one in kept) - self._cache_bytes
        for one in kept:
            if too_much <= 0 or one.at.timestamp() > time.time() - _KEPT_SECONDS:
                return
            self._cache.delete(one.sha256)
            too_much -= one.size


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise what went wrong as an `OSError` that names the object; that there is none as `FileNotFoundError`."""
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code in ("404", "NoSuchKey"):
            raise FileNotFoundError(f"there is no {what}") from None
        raise StorageFailed(f"{what}: {error}") from error
