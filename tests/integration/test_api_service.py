"""The service around the jobs: keys, users, folders, the catalogue, problems, and its own description."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select

from api.app import create_app
from core.cards import KINDS, JobKind
from sieve.specs import FOLLOWUP_PRESETS, Spec
from store.database import Database
from store.settings import Settings
from store.tables import ApiKey

ROOT = Path(__file__).parent.parent.parent


def test_keys_are_shown_once_and_can_be_revoked(ada: TestClient, visitor: TestClient, database: Database) -> None:
    key = ada.post("/v1/keys", json={"name": "laptop"}).json()["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    assert visitor.get("/v1/me", headers=bearer).json()["name"] == "ada"
    (laptop, _) = ada.get("/v1/keys").json()["data"]
    assert laptop["name"] == "laptop"
    secret = key.rpartition("_")[2]
    assert secret not in json.dumps(laptop)
    with database.transaction() as session:
        assert all(secret not in row.secret_hash for row in session.scalars(select(ApiKey)))
    assert ada.delete(f"/v1/keys/{laptop['id']}").status_code == 204
    assert visitor.get("/v1/me", headers=bearer).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer sieve_x_y", "Basic YTpi", "Bearer sieve_\x80"])
def test_without_a_good_key_nobody_comes_in(visitor: TestClient, header: str) -> None:
    answer = visitor.get("/v1/jobs", headers={"Authorization": header.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_keys_of_others_cannot_be_revoked(ada: TestClient, bob: TestClient) -> None:
    (key,) = ada.get("/v1/keys").json()["data"]
    assert bob.delete(f"/v1/keys/{key['id']}").status_code == 404
    assert ada.get("/v1/me").status_code == 200


def test_only_admins_look_after_users(ada: TestClient, root: TestClient, visitor: TestClient) -> None:
    for answer in (ada.get("/v1/users"), ada.post("/v1/users", json={"name": "eve"})):
        assert (answer.status_code, answer.json()["code"]) == (403, "admins_only")
    made = root.post("/v1/users", json={"name": "eve"})
    assert made.status_code == 201
    me = visitor.get("/v1/me", headers={"Authorization": f"Bearer {made.json()['key']}"}).json()
    assert (me["name"], me["role"]) == ("eve", "member")
    assert root.post("/v1/users", json={"name": "eve"}).json()["code"] == "name_taken"
    assert [user["name"] for user in root.get("/v1/users").json()["data"]] == ["ada", "bob", "eve", "root"]


def test_an_admin_registers_a_folder_and_all_may_use_it(ada: TestClient, root: TestClient, tmp_path: Path) -> None:
    for split, count in (("train", 8), ("test", 2)):
        for label in ("cat", "dog"):
            folder = tmp_path / "pets" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (8, 8), (index, 0, 0)).save(folder / f"{index}.png")
    body = {"name": "pets", "folder": str(tmp_path / "pets")}
    assert ada.post("/v1/datasets", json=body).status_code == 403
    made = root.post("/v1/datasets", json=body)
    assert made.status_code == 201, made.text
    assert (made.json()["source"], made.json()["shape"], made.json()["train_images"]) == ("folder", [3, 8, 8], 16)
    train = {"kind": "train", "dataset": "pets", "architecture": "convnet", "batch_size": 4}
    assert ada.post("/v1/jobs", json=train).json()["produces"]["model"]["shape"] == [3, 8, 8]
    missing = root.post("/v1/datasets", json={"name": "none", "folder": str(tmp_path / "none")})
    assert (missing.status_code, missing.json()["errors"][0]["pointer"]) == (422, "/folder")
    assert root.post("/v1/datasets", json=body).json()["code"] == "name_taken"


def test_the_catalogue(ada: TestClient) -> None:
    for what, name in (
        ("architectures", "resnet"),
        ("attacks", "pgd"),
        ("kinds", "study"),
        ("presets", "planted"),
        ("formats", "safetensors"),
    ):
        entries = {entry["name"]: entry for entry in ada.get(f"/v1/{what}").json()["data"]}
        assert entries[name]["summary"], what
    for preset in ada.get("/v1/presets").json()["data"]:
        assert ada.post("/v1/jobs", params={"dry_run": True}, json=preset["spec"]).status_code == 200, preset["name"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("PUT", "/v1/jobs", None, 405, "method_not_allowed"),
        ("POST", "/v1/jobs", b"{", 422, "invalid"),
        ("POST", "/v1/jobs", b"[]", 422, "invalid"),
        ("POST", "/v1/jobs", b"", 422, "invalid"),
        ("POST", "/v1/jobs", b"[" * 100_000, 400, "bad_request"),
        ("POST", "/v1/jobs", b'"' + b"x" * (2 << 20) + b'"', 413, "body_too_large"),
        ("GET", "/v1/jobs/job_%00", None, 422, "not_storable"),
        ("GET", "/v1/jobs?owner=%00", None, 422, "not_storable"),
        ("GET", "/v1/jobs?label=a%3D%00", None, 422, "invalid"),
        ("GET", "/v1/jobs?limit=0", None, 422, "invalid"),
        ("GET", "/v1/jobs/job_x/events?after=99999999999999999999", None, 422, "invalid"),
        ("POST", "/v1/keys", b'{"name": "\\ud800"}', 422, "invalid"),
    ],
)
def test_every_error_is_a_problem(
    ada: TestClient, *, method: str, path: str, content: bytes | None, status: int, code: str
) -> None:
    answer = ada.request(method, path, content=content, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(redis_url: str, tmp_path: Path) -> None:
    nowhere = f"postgresql+psycopg://sieve@/sieve?host={tmp_path}"
    app = create_app(Settings(DATABASE_URL=nowhere, REDIS_URL=redis_url, home=tmp_path))
    with TestClient(app, headers={"Authorization": "Bearer sieve_a_b"}) as client:
        assert client.get("/healthz").json()["status"] == "ok"
        for path in ("/readyz", "/v1/jobs"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert int(answer.headers["Retry-After"]) > 0


def test_submitting_works_while_redis_is_away(database_url: str, keys: dict[str, str], tmp_path: Path) -> None:
    app = create_app(Settings(DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1/0", home=tmp_path))
    with TestClient(app, headers={"Authorization": f"Bearer {keys['ada']}"}) as client:
        train = {"kind": "train", "dataset": "digits", "architecture": "convnet"}
        client.get("/v1/me")
        start = time.monotonic()
        assert client.post("/v1/jobs", json=train).status_code == 202
        assert time.monotonic() - start < 4.0, "Celery's own patience"


def test_the_description_knows_the_kinds_of_job(visitor: TestClient) -> None:
    document = visitor.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["discriminator"]["mapping"]) == {
        *("describe", "evaluate", "export", "ingest", "ingest_model", "study", "synthesize", "train"),
        *("decode", "gaussian_fit", "pretrain", "probe"),
        *FOLLOWUP_PRESETS,
    }
    train = schemas["TrainSubmission"]
    assert {"epochs", "labels", "priority"} <= set(train["properties"])
    assert set(train["required"]) == {"kind", "dataset", "architecture"}
    assert schemas["StudySubmission"]["required"] == ["kind"]


def test_a_kind_that_a_plug_in_adds_is_described_and_taken(
    settings: Settings, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class NapSpec(Spec):
        kind: str = "nap"
        minutes: int = 20

    nap = JobKind(name="nap", summary="do nothing", spec=NapSpec, slot="cpu", check=lambda *_: None)
    assert KINDS.names()
    monkeypatch.setitem(KINDS.__dict__["_entries"], "nap", nap)
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {keys['ada']}"}) as client:
        assert "NapSubmission" in client.get("/openapi.json").json()["components"]["schemas"]
        made: dict[str, Any] = client.post("/v1/jobs", json={"kind": "nap", "minutes": 5, "name": "noon"}).json()
        assert (made["kind"], made["spec"], made["name"]) == ("nap", {"kind": "nap", "minutes": 5}, "noon")


SERVING = """
import sys
import time
from pathlib import Path
from fastapi.testclient import TestClient
from api.app import create_app
from store.settings import Settings

url, redis_url, home, key = sys.argv[1:]
app = create_app(Settings(DATABASE_URL=url, REDIS_URL=redis_url, home=Path(home)))
with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
    assert client.post("/v1/jobs", json={"kind": "study", "preset": "digits"}).status_code == 202
    for path in ("datasets", "architectures", "attacks", "kinds", "jobs", "queue"):
        assert client.get(f"/v1/{path}").status_code == 200
    assert client.get("/openapi.json").status_code == 200
assert "torch" not in sys.modules, "the API process imported torch"
"""


def test_a_process_that_serves_never_imports_torch(settings: Settings, keys: dict[str, str]) -> None:
    arguments = [settings.database_url, settings.redis_url, str(settings.home), keys["ada"]]
    command = [sys.executable, "-c", SERVING, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
