"""Headers, limits, links and logs: what must not be seen is not, and what is signed cannot be bent."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from store.settings import Settings
from tests.hand import Hand

TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}


@pytest.mark.parametrize("path", ["/healthz", "/v1/me", "/v1/jobs/job_none", "/nowhere", "/v1/jobs?limit=x", "/docs"])
def test_every_answer_has_the_safe_headers(ada: TestClient, path: str) -> None:
    headers = ada.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "no-store" in headers["Cache-Control"]
    assert "server" not in headers


def test_who_asks_too_often_is_told_when_to_come_again(settings: Settings, keys: dict[str, str]) -> None:
    app = create_app(settings.model_copy(update={"requests_per_second": 1.0}))
    ada = TestClient(app, headers={"Authorization": f"Bearer {keys['ada']}"})
    answers = [ada.get("/v1/me") for _ in range(15)]
    assert [answer.status_code for answer in answers[:10]] == [200] * 10
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "too_many_requests")
    assert int(answers[-1].headers["Retry-After"]) >= 1
    stranger = TestClient(app, headers={"Authorization": "Bearer sieve_no_key"})
    assert {stranger.get("/v1/me").status_code for _ in range(15)} == {401, 429}


def test_a_link_downloads_one_file_until_its_key_ends(ada: TestClient, visitor: TestClient, hand: Hand) -> None:
    made = ada.post("/v1/keys", json={"scopes": ["read"]}).json()
    job = ada.post("/v1/jobs", json=TRAIN).json()["id"]
    hand.do_everything()
    model = ada.get(f"/v1/jobs/{job}").json()["outputs"]["model"]
    reader = {"Authorization": f"Bearer {made['key']}"}
    url = visitor.get(f"/v1/models/{model}/link?seconds=60", headers=reader).json()["url"]
    assert visitor.get(url).status_code == 200
    assert visitor.get(url, headers={"Range": "bytes=0-1"}).status_code == 206
    artifact = ada.get(f"/v1/jobs/{job}/artifacts").json()["data"][0]["id"]
    for bent in (
        url.replace("expires=", "expires=9"),
        url[:-1],
        url.replace(f"/v1/models/{model}/weights", f"/v1/artifacts/{artifact}"),
        url.split("&signature")[0],
        url.replace("by=key_", "by=key_0"),
        url + "&format=npz",
    ):
        assert visitor.get(bent).status_code == 401, bent
    assert ada.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert visitor.get(url).status_code == 401


def test_no_secret_and_no_forged_line_in_the_log(
    ada: TestClient, keys: dict[str, str], caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    caplog.set_level(logging.DEBUG)
    made = ada.post("/v1/keys", json={"name": "a"}).json()["key"]
    hook = ada.post("/v1/webhooks", json={"url": "https://hooks.example.org/?token=hush"}).json()
    ada.get("/v1/jobs/x%0d%0aERROR%20forged?signature=hush")
    ada.get("/v1/jobs", params={"label": "a\nERROR forged"})
    ours = [record for record in caplog.records if not record.name.startswith("httpx")]  # theirs are the test's
    said = "\n".join(record.getMessage() for record in ours)
    for secret in (keys["ada"], made, hook["secret"], "hush", (settings.home / "signing.key").read_text()):
        assert secret not in said
    assert not any("\n" in record.getMessage() for record in caplog.records if record.name == "api.access")


def test_the_signing_key_is_for_the_owner_alone(settings: Settings, ada: TestClient) -> None:
    ada.post("/v1/webhooks", json={"url": "https://hooks.example.org/"})
    path = Path(settings.home / "signing.key")
    assert path.stat().st_mode & 0o777 == 0o600
