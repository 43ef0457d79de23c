"""A client that somebody else's generator makes from the API's own document submits, polls and downloads."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.hand import Hand

PACKAGE = "feature_sieve_client"
CONFIG = """
package_name_override: feature_sieve_client
post_hooks: []
content_type_overrides:
  application/offset+octet-stream: application/octet-stream
"""
"""No formatter afterwards; and the name that tus gives to a piece of a file is one for bytes."""


class Generated:
    """The generated package."""

    def __init__(self, document: dict[str, Any], folder: Path) -> None:
        self._document = document
        self._folder = folder / PACKAGE

    def operation(self, method: str, path: str) -> ModuleType:
        """The module of an operation, which is named after its id."""
        name = self._document["paths"][path][method]["operationId"].replace("_", "").lower()
        files = [file for file in (self._folder / "api").rglob("*.py") if file.stem.replace("_", "") == name]
        assert len(files) == 1, f"{method} {path}: {name}"
        return importlib.import_module(".".join(files[0].relative_to(self._folder.parent).with_suffix("").parts))

    def model(self, name: str) -> Any:
        return getattr(importlib.import_module(f"{PACKAGE}.models"), name)


@pytest.fixture
def generated(address: str, tmp_path: Path) -> Iterator[Generated]:
    document = httpx.get(f"{address}/openapi.json", timeout=60).raise_for_status().json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.yaml").write_text(CONFIG)
    out = tmp_path / "out"
    asked = ["--path", str(tmp_path / "openapi.json"), "--config", str(tmp_path / "config.yaml")]
    command = [sys.executable, "-m", "openapi_python_client", "generate", *asked, "--output-path", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr
    sys.path.insert(0, str(out))
    try:
        yield Generated(document, out)
    finally:
        sys.path.remove(str(out))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


def test_it_submits_polls_and_downloads(generated: Generated, address: str, key: str, hand: Hand) -> None:
    speaker = importlib.import_module(PACKAGE).AuthenticatedClient(base_url=address, token=key)
    values = {"kind": "train", "dataset": {"name": "digits"}, "architecture": {"name": "convnet"}, "epochs": 2}
    body = generated.model("TrainSubmission").from_dict(values | {"name": "generated"})
    answer = generated.operation("post", "/v1/jobs").sync_detailed(client=speaker, body=body)
    assert answer.status_code == 202
    job = answer.parsed
    assert (job.kind, job.name, job.state.value) == ("train", "generated", "queued")

    weights = b"weights" * 1000
    threading.Timer(0.5, lambda: hand.take().succeed({"standard": 0.9}, model=weights)).start()
    show, until = generated.operation("get", "/v1/jobs/{job_id}"), time.monotonic() + 60
    while job.state.value != "succeeded":
        assert time.monotonic() < until
        job = show.sync(job.id, client=speaker, prefer="wait=5")
    assert job.result.to_dict() == {"standard": 0.9}

    page = generated.operation("get", "/v1/jobs/{job_id}/artifacts").sync(job.id, client=speaker)
    (artifact,) = page.data
    fetched = generated.operation("get", "/v1/artifacts/{artifact_id}").sync_detailed(artifact.id, client=speaker)
    assert fetched.content == weights
    assert hashlib.sha256(fetched.content).hexdigest() == artifact.sha256

    wrong = generated.model("TrainSubmission").from_dict(values | {"dataset": {"name": "digit"}})
    refused = generated.operation("post", "/v1/jobs").sync_detailed(client=speaker, body=wrong)
    assert refused.status_code == 422
    assert refused.parsed.errors[0].pointer == "/dataset/name"
    stranger = importlib.import_module(PACKAGE).AuthenticatedClient(base_url=address, token="sieve_wrong")
    assert show.sync_detailed(job.id, client=stranger).status_code == 401
