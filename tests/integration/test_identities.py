"""Every route of the running application, asked by everybody: nobody, somebody else, the owner, an admin, and the owner
with a key that may only read. The routes come from the application itself, so that none can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from api.pages.visitor import COOKIE, form_token
from store import accounts, sessions
from store.database import Database
from tests.hand import Hand

TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}

OPEN = {"/healthz", "/readyz", "/metrics", "/docs", "/docs/{name}", "/openapi.json"}
"""Anybody may ask."""
PAGES_FOR_ALL = {"/signin", "/signout", "/static/{hashed}/{name}", "/assets/{hashed}/{name}"}
ADMINS = {
    ("POST", "/v1/datasets"),
    ("POST", "/v1/jobs/{job_id}/front"),
    ("POST", "/v1/slots/hold"),
    ("POST", "/v1/slots/release"),
    ("GET", "/v1/users"),
    ("POST", "/v1/users"),
    ("GET", "/v1/standings"),
    ("PATCH", "/v1/users/{name}/limits"),
    ("POST", "/v1/users/{name}/reset-keys"),
    ("PATCH", "/v1/policy"),
}
"""Only an admin may ask; what is new and only an admin's is written down here."""
OWN_EVEN_FROM_ADMINS = re.compile(r"/v1/(keys|webhooks)/\{")
"""What not even an admin may touch of somebody else's."""
REFUSED = (401, 403, 404)


@dataclass
class Place:
    """Things of ada's, and everybody's way in."""

    ids: dict[str, str] = field(default_factory=dict)
    askers: dict[str, TestClient] = field(default_factory=dict)


def with_key(visitor: TestClient, key: str) -> TestClient:
    return TestClient(visitor.app, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False)


@pytest.fixture
def place(visitor: TestClient, keys: dict[str, str], hand: Hand, database: Database) -> Place:
    ada, bob, root = (with_key(visitor, keys[name]) for name in ("ada", "bob", "root"))
    job = ada.post("/v1/jobs", json=TRAIN).json()["id"]
    synthesis = {"kind": "synthesize", "dataset": "digits", "model": job, "construction": {"method": "random_target"}}
    made = ada.post("/v1/jobs", json=synthesis).json()["id"]
    study = ada.post("/v1/jobs", json={"kind": "study", "preset": "digits"}).json()["id"]
    root.post("/v1/users", json={"name": "eve"})
    hand.do_everything()
    with database.transaction() as session:
        person = accounts.find_user(session, "ada")
        assert person is not None
        _, secret = accounts.new_key(session, person, "only to look", scopes=["read"], expires_at=None)
        other_key, _ = accounts.new_key(session, person, "to revoke", scopes=["read"], expires_at=None)
        ids = {"key_id": other_key.id}
    reader = with_key(visitor, secret)
    ids |= {
        "job_id": job,
        "dataset_id": ada.get(f"/v1/jobs/{made}").json()["outputs"]["dataset"],
        "model_id": ada.get(f"/v1/jobs/{job}").json()["outputs"]["model"],
        "artifact_id": ada.get(f"/v1/jobs/{job}/artifacts").json()["data"][0]["id"],
        "upload_id": ada.post("/v1/uploads", json={"name": "pets.zip", "size": 10}).json()["id"],
        "webhook_id": ada.post("/v1/webhooks", json={"url": "https://hooks.example.org/"}).json()["id"],
        "name": "eve",
        "verb": "cancel",
        "study_id": study,
        "hashed": "0",
    }
    return Place(ids, {"nobody": visitor, "other": bob, "owner": ada, "admin": root, "reader": reader})


def routes(client: TestClient) -> list[tuple[str, str]]:
    """Every method and path that the application answers."""
    found = set()
    for route in iter_route_contexts(client.app.routes):  # type: ignore[attr-defined]
        for method in route.methods or ():
            if method not in ("OPTIONS",):
                found.add((method, str(route.path)))
    return sorted(found)


def ask(client: TestClient, method: str, path: str, ids: dict[str, str]) -> int:
    """Ask with a body that need not make sense. Where `ids` lacks one, for something that does not exist."""
    if path.endswith("/report"):
        ids = ids | {"job_id": ids.get("study_id", "")}
    filled = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1]) or f"{found[1][:3]}_00000000000000000000000000", path)
    body: dict[str, Any] = {}
    if method in ("POST", "PATCH", "PUT"):
        body = {"json": {}}
        if path == "/v1/uploads/{upload_id}":
            body = {"content": b"abc", "headers": {"Upload-Offset": "0"}}
    return client.request(method, filled, follow_redirects=False, **body).status_code


def is_page(path: str) -> bool:
    return not path.startswith(("/v1/", "/docs")) and path not in OPEN


def judge(status: dict[str, int], method: str, path: str) -> list[str]:
    """What is wrong with what everybody was told."""
    wrong: list[str] = []

    def must(asker: str, rule: Callable[[int], bool], said: str) -> None:
        if not rule(status[asker]):
            wrong.append(f"{method} {path}: {asker} got {status[asker]}, {said}")

    def allowed(code: int) -> bool:
        return code not in REFUSED and code < 500

    must("nobody", lambda code: code == 401, "wanted 401")
    if (method, path) in ADMINS:
        for asker in ("other", "owner", "reader"):
            must(asker, lambda code: code == 403, "wanted 403")
        must("admin", allowed, "wanted to be let in")
        return wrong
    must("owner", allowed, "wanted to be let in")
    if "{" in path and "{name}" not in path:
        missing = status["other, of what does not exist"]
        told = f"wanted {missing}, as of what does not exist"
        must("other", lambda code: code == missing and code >= 400, told)
        if OWN_EVEN_FROM_ADMINS.match(path):
            must("admin", lambda code: code in (403, 404), "wanted 404: it is not theirs")
        else:
            must("admin", allowed, "wanted to be let in")
    if method in ("GET", "HEAD"):
        must("reader", allowed, "wanted to be let in")
    else:
        must("reader", lambda code: code == 403, "wanted 403: its key may only read")
    return wrong


def test_every_route_lets_in_whom_it_should_and_nobody_else(place: Place) -> None:
    found = routes(place.askers["nobody"])
    assert len(found) > 60
    wrong: list[str] = []
    last = [one for one in found if one[0] != "DELETE"] + [one for one in found if one[0] == "DELETE"]
    for method, path in last:
        if path in OPEN or is_page(path):
            continue
        status = {}
        for asker in ("nobody", "reader", "other", "admin", "owner"):
            if method == "DELETE" and asker == "admin" and not OWN_EVEN_FROM_ADMINS.match(path):
                status[asker] = 204  # it would be gone before its owner asks
                continue
            status[asker] = ask(place.askers[asker], method, path, place.ids)
        status["other, of what does not exist"] = ask(place.askers["other"], method, path, {})
        wrong += judge(status, method, path)
    assert not wrong, "\n".join(wrong)


def test_every_page_sends_nobody_to_sign_in_and_shows_others_nothing(place: Place, database: Database) -> None:
    nobody = place.askers["nobody"]
    pages = [one for one in routes(nobody) if is_page(one[1])]
    assert len(pages) > 5
    with database.transaction() as session:
        person = accounts.find_user(session, "bob")
        assert person is not None
        token = sessions.sign_in(session, accounts.create_key(session, person))
    assert token is not None
    bob = TestClient(nobody.app, cookies={COOKIE: token}, raise_server_exceptions=False)
    for method, path in pages:
        if path in PAGES_FOR_ALL or "{hashed}" in path:
            continue
        filled = re.sub(r"\{(\w+)\}", lambda found: place.ids.get(found[1], "x"), path)
        told = {"data": {"token": form_token(token)}} if method == "POST" else {}
        shut_out = nobody.request(method, filled, follow_redirects=False)
        assert shut_out.status_code in (302, 303, 401, 403, 404), (method, path, shut_out.status_code)
        if "{" in path:
            other = bob.request(method, filled, follow_redirects=False, **told)  # type: ignore[arg-type]
            assert other.status_code in (303, 403, 404), (method, path, other.status_code)
            if other.status_code == 303:
                assert other.headers["location"].endswith("/signin"), (method, path)


def test_a_key_can_expire_and_cannot_make_keys_beyond_its_scopes(ada: TestClient, database: Database) -> None:
    made = ada.post("/v1/keys", json={"name": "ci", "scopes": ["read", "submit"], "expires_in_days": 1}).json()
    assert made["scopes"] == ["read", "submit"]
    assert made["expires_at"] > made["created_at"]
    ci = TestClient(ada.app, headers={"Authorization": f"Bearer {made['key']}"})
    assert ci.post("/v1/jobs", json=TRAIN).status_code == 202
    refused = ci.post("/v1/keys", json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    assert ci.post("/v1/webhooks", json={"url": "https://hooks.example.org/"}).status_code == 403
    with database.transaction() as session:
        row = accounts.key(session, made["id"])
        assert row is not None
        row.expires_at = row.created_at
    assert ci.get("/v1/me").status_code == 401


def test_what_is_shared_can_be_looked_at_and_used_and_not_changed(ada: TestClient, bob: TestClient, hand: Hand) -> None:
    job = ada.post("/v1/jobs", json=TRAIN).json()["id"]
    assert bob.get(f"/v1/jobs/{job}").status_code == 404
    assert bob.patch(f"/v1/jobs/{job}", json={"shared": True}).status_code == 404
    assert ada.patch(f"/v1/jobs/{job}", json={"shared": True, "labels": {"a": "b"}}).json()["shared"] is True
    hand.do_everything()  # what it makes later is shared as well
    seen = bob.get(f"/v1/jobs/{job}").json()
    assert (seen["owner"], seen["labels"]) == ("ada", {"a": "b"})
    assert [row["id"] for row in bob.get("/v1/jobs?shared=true").json()["data"]] == [job]
    assert bob.get("/v1/jobs").json()["data"] == []
    model = seen["outputs"]["model"]
    assert bob.get(f"/v1/models/{model}/weights").status_code == 200
    evaluation = {"kind": "evaluate", "dataset": "digits", "model": model}
    assert bob.post("/v1/jobs", json=evaluation).status_code == 202
    for method, path in (("POST", "cancel"), ("POST", "retry"), ("POST", "pause")):
        assert bob.request(method, f"/v1/jobs/{job}/{path}").status_code == 404
    assert bob.delete(f"/v1/jobs/{job}").status_code == 404
    assert bob.patch(f"/v1/models/{model}", json={"shared": False}).status_code == 404
    assert ada.patch(f"/v1/jobs/{job}", json={"shared": False}).status_code == 200
    assert bob.get(f"/v1/models/{model}").status_code == 404
    assert bob.get("/v1/jobs?shared=true").json()["data"] == []
