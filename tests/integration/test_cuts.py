"""Downloads and uploads whose connections are cut again and again arrive whole."""

from __future__ import annotations

import contextlib
import hashlib
import random
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sieve import Client, patience, sending
from store.blobs import DiskBlobs
from store.database import Database
from store.settings import Settings
from tests.hand import Hand
from tests.serving import served

FEW, MANY = 8, pytest.param(200, marks=pytest.mark.full)
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset, and what waits to be sent is lost."""


class Cutter:
    """A TCP proxy in front of a server, that resets connections after a random number of bytes, so many times."""

    def __init__(self, port: int, cuts: int, longest: int) -> None:
        self.left, self.cuts = cuts, 0
        self._port, self._longest, self._draws = port, longest, random.Random(cuts)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            left = self._draws.randint(1000, self._longest) if self.left else None
            other = {client: server, server: client}
            with contextlib.suppress(OSError):
                while True:
                    for one in select.select([client, server], [], [])[0]:
                        content = one.recv(1 << 16)
                        if not content:
                            return
                        if left is not None and len(content) >= left:
                            other[one].sendall(content[:left])
                            for end in (client, server):
                                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                            self.left, self.cuts = self.left - 1, self.cuts + 1
                            return
                        left = left - len(content) if left is not None else None
                        other[one].sendall(content)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    return Settings(DATABASE_URL=database_url, REDIS_URL=redis_url, home=home, requests_per_second=0)


@pytest.fixture
def port(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(patience, "_pause", lambda _: 0.001)
    with served(settings) as url:
        yield int(url.rpartition(":")[2])


@pytest.mark.parametrize("cuts", [FEW, MANY])
@pytest.mark.timeout(600)
def test_a_download_that_is_cut_again_and_again_arrives_whole(
    *, cuts: int, port: int, keys: dict[str, str], database: Database, settings: Settings, tmp_path: Path
) -> None:
    content = random.Random(1).randbytes(150_000 * cuts)
    with Client(f"http://127.0.0.1:{port}", keys["ada"]) as client:
        job = client.submit({"kind": "train", "dataset": "digits", "architecture": "convnet"})
        Hand(database, DiskBlobs(settings.blobs)).take().succeed({}, model=content)
        model = client.model(job.refresh().outputs["model"])
    cutter = Cutter(port, cuts, 200_000)
    with Client(cutter.url, keys["ada"]) as client:
        model = client.model(model.id)
        path = model.download(tmp_path / "model")
    cutter.close()
    assert cutter.cuts == cuts
    assert hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256 == hashlib.sha256(content).hexdigest()
    assert not path.with_name("model.part").exists()


@pytest.mark.parametrize("cuts", [FEW, MANY])
@pytest.mark.timeout(600)
def test_an_upload_that_is_cut_again_and_again_arrives_whole(
    *, cuts: int, port: int, keys: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(random.Random(2).randbytes(200_000 * cuts))
    cutter = Cutter(port, cuts, 400_000)
    with Client(cutter.url, keys["ada"], tries=20) as client:  # cuts come far thicker here than they ever will
        upload = sending.send(client.transport, tmp_path / "x")
        told = client.transport.json("GET", f"/v1/uploads/{upload}")
    cutter.close()
    assert cutter.cuts == cuts
    assert told["arrived"] == told["size"] == 200_000 * cuts
    assert told["sha256"] == hashlib.sha256((tmp_path / "x").read_bytes()).hexdigest()
