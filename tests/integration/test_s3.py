"""Blobs in S3, on moto's server. It answers in Amazon's form; what it cannot show is said in docs/operations.md."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from store.blobs import BlobStore, StorageFailed, blob_store
from store.s3 import S3Blobs
from store.settings import Settings


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def blobs(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Blobs:
    """In a bucket of the test's own."""
    for name, value in {"ID": "AKIAEXAMPLE", "SECRET": "example"}.items():
        monkeypatch.setenv("AWS_ACCESS_KEY_ID" if name == "ID" else "AWS_SECRET_ACCESS_KEY", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"sieve-{time.monotonic_ns()}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=bucket)
    return S3Blobs(f"s3://{bucket}/lab", tmp_path / "cache", endpoint=endpoint, cache_bytes=10)


def put(blobs: BlobStore, folder: Path, data: bytes) -> str:
    source = folder / "source"
    source.write_bytes(data)
    sha256, size = blobs.put(source)
    assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data))
    return sha256


def keys(blobs: S3Blobs) -> list[str]:
    return [found["Key"] for found in blobs._client.list_objects_v2(Bucket=blobs.bucket).get("Contents", [])]


def test_bytes_are_found_by_their_hash(blobs: S3Blobs, tmp_path: Path) -> None:
    sha256 = put(blobs, tmp_path, b"weights")
    assert keys(blobs) == [f"lab/{sha256[:2]}/{sha256}"], "nothing is left of its arrival"
    assert blobs.open(sha256).read() == b"weights"
    assert blobs.fetch(sha256).read_bytes() == b"weights"
    assert (blobs.holds(sha256, 7), blobs.holds(sha256, 8), blobs.holds("0" * 64, 7)) == (True, False, False)
    assert [(kept.sha256, kept.size) for kept in blobs.everything()] == [(sha256, 7)]
    blobs.delete(sha256)
    blobs.delete(sha256)
    assert keys(blobs) == []
    for read in (blobs.open, blobs.fetch):
        with pytest.raises(FileNotFoundError):
            read(sha256)


@pytest.mark.full
def test_large_files_come_in_parts(blobs: S3Blobs, tmp_path: Path) -> None:
    data, ticks = os.urandom(1 << 20) * 130, []
    source = tmp_path / "large"
    source.write_bytes(data)
    sha256, size = blobs.put(source, lambda: ticks.append(1))
    assert size == len(data)
    assert len(ticks) >= 3
    assert blobs.fetch(sha256).stat().st_size == size


def test_what_breaks_off_leaves_nothing_to_be_seen(blobs: S3Blobs, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"data")

    def lost() -> None:
        raise InterruptedError("the lease is lost")

    with pytest.raises(InterruptedError):
        blobs.put(source, lost)
    assert keys(blobs) == []
    # A put that is killed leaves its staging key.
    blobs._client.put_object(Bucket=blobs.bucket, Key="lab/arriving/abc", Body=b"half")
    blobs._client.create_multipart_upload(Bucket=blobs.bucket, Key="lab/arriving/def")
    assert list(blobs.everything()) == []
    assert blobs.clear_arriving(3600) == 1, "moto says of every unfinished upload that it began in 2010"
    assert blobs.clear_arriving(-60) == 1
    assert keys(blobs) == []


def test_a_damaged_object_is_not_taken_for_whole(blobs: S3Blobs, tmp_path: Path) -> None:
    sha256 = put(blobs, tmp_path, b"good")
    blobs._client.put_object(Bucket=blobs.bucket, Key=f"lab/{sha256[:2]}/{sha256}", Body=b"bad!")
    with pytest.raises(FileNotFoundError, match="damaged"):
        blobs.fetch(sha256)
    assert put(blobs, tmp_path, b"good") == sha256
    assert blobs.fetch(sha256).read_bytes() == b"good"


def test_the_cache_forgets_what_was_not_asked_for_in_an_hour(blobs: S3Blobs, tmp_path: Path) -> None:
    first, second = put(blobs, tmp_path, b"first one"), put(blobs, tmp_path, b"second one")
    old = blobs.fetch(first)
    assert blobs.fetch(second).exists()
    assert old.exists(), "a job may be about to open it"
    os.utime(old, (time.time() - 7200,) * 2)
    third = put(blobs, tmp_path, b"third one")
    assert blobs.fetch(third).exists()
    assert not old.exists()
    assert blobs.fetch(first).read_bytes() == b"first one"


def test_a_server_that_is_away_is_told_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    settings = Settings(
        DATABASE_URL="", REDIS_URL="", home=tmp_path, blob_store="s3://lab/x", s3_endpoint="http://127.0.0.1:9"
    )
    source = tmp_path / "source"
    source.write_bytes(b"data")
    with pytest.raises(StorageFailed, match=r"s3://lab/x/arriving/.*127\.0\.0\.1:9"):
        blob_store(settings).put(source)
