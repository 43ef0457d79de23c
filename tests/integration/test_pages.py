"""Pages without a browser: who gets in, what forms need, and that each page answers while there is nothing yet."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from html import unescape

import click
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from api.pages import forms
from api.pages.copies import copies, shortened
from core.planning import parse, submittable_kinds
from sieve.cli.options import spec_options, spec_values
from sieve.cli.submit import KINDS
from sieve.specs import PRESETS
from store.database import Database
from tests.hand import Hand
from tests.jobs import STUDY, look, parts, person, submitted

PAGE = {"Accept": "text/html"}


def signed_in(visitor: TestClient, key: str) -> TestClient:
    """A browser with a session."""
    client = TestClient(visitor.app, headers=PAGE, follow_redirects=False)
    answer = client.post("/signin", data={"key": key, "token": token(client.get("/signin").text)})
    assert answer.status_code == 303, answer.text
    return client


def token(html: str) -> str:
    found = re.search(r'name="token" value="([^"]*)"', html)
    assert found
    return found[1]


@pytest.fixture
def page(visitor: TestClient, keys: dict[str, str]) -> TestClient:
    return signed_in(visitor, keys["ada"])


@pytest.fixture
def admin(visitor: TestClient, keys: dict[str, str]) -> Iterator[TestClient]:
    return signed_in(visitor, keys["root"])  # type: ignore[return-value]


def test_nobody_sees_a_page_without_a_session(visitor: TestClient) -> None:
    answer = visitor.get("/jobs/job_1?index=2", headers=PAGE, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/signin?next=%2Fjobs%2Fjob_1%3Findex%3D2"
    assert visitor.get("/live").status_code == 401
    assert visitor.post("/jobs/job_1/cancel", data={"token": "x"}).status_code == 403


def test_a_wrong_key_is_refused_and_leads_nowhere_else(visitor: TestClient) -> None:
    client = TestClient(visitor.app, headers=PAGE, follow_redirects=False)
    sent = {"key": "sieve_ab_cd", "token": token(client.get("/signin").text)}
    answer = client.post("/signin", data=sent)
    assert answer.status_code == 401
    assert "unknown, expired or revoked" in answer.text
    assert "sieve_session" not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize("wanted", ["//evil.example/", "/\\evil.example", "https://evil.example", "/a\r\nX: y"])
def test_signing_in_leads_to_no_other_site(visitor: TestClient, keys: dict[str, str], wanted: str) -> None:
    client = TestClient(visitor.app, headers=PAGE, follow_redirects=False)
    sent = {"key": keys["ada"], "next": wanted, "token": token(client.get("/signin").text)}
    assert client.post("/signin", data=sent).headers["location"] == "/"


def test_the_cookie_is_locked_up_and_no_key(visitor: TestClient, keys: dict[str, str]) -> None:
    client = TestClient(visitor.app, "https://testserver", headers=PAGE, follow_redirects=False)
    sent = {"key": keys["ada"], "token": token(client.get("/signin").text)}
    cookie = client.post("/signin", data=sent).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Secure", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert keys["ada"] not in cookie
    assert client.get("/v1/me").status_code == 401  # the API takes keys alone


def test_a_session_ends_with_its_key(page: TestClient, ada: TestClient) -> None:
    assert page.get("/").status_code == 200
    (key,) = ada.get("/v1/keys").json()["data"]
    ada.delete(f"/v1/keys/{key['id']}")
    assert page.get("/").headers["location"] == "/signin"


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        ({}, {}),
        ({"token": "0" * 64}, {}),
        ({"token": None}, {"Sec-Fetch-Site": "cross-site"}),
        ({"token": None}, {"Sec-Fetch-Site": "same-site"}),
        ({"token": None}, {"Origin": "https://evil.example"}),
        ({"token": None}, {"Origin": "null"}),
    ],
)
def test_a_form_from_elsewhere_is_refused(
    page: TestClient, database: Database, ada: TestClient, sent: dict[str, str | None], headers: dict[str, str]
) -> None:
    id = ada.post("/v1/jobs", json=_TRAIN).json()["id"]
    if "token" in sent and sent["token"] is None:
        sent = {"token": token(page.get("/").text)}
    answer = page.post(f"/jobs/{id}/cancel", data=sent, headers=headers)
    assert answer.status_code == 403
    assert "load the page again" in answer.text
    assert look(database, id).state == "queued"


def test_every_answer_keeps_to_itself(page: TestClient) -> None:
    for path in ("/", "/signin", "/jobs/job_none", "/new/train", "/account"):
        headers = page.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["cache-control"] == "no-store"


def test_pages_while_there_is_nothing(page: TestClient, admin: TestClient) -> None:
    paths = ["/", "/datasets", "/datasets/digits", "/models", "/compare", "/account"]
    for path in [*paths, *(f"/new/{kind.name}" for kind in submittable_kinds())]:
        assert page.get(path).status_code == 200, path
    assert page.get("/admin").status_code == 403
    assert admin.get("/admin").status_code == 200


def test_others_jobs_do_not_exist(page: TestClient, bob: TestClient, hand: Hand, admin: TestClient) -> None:
    id = bob.post("/v1/jobs", json=_TRAIN).json()["id"]
    hand.do_everything()
    (model,) = bob.get("/v1/models").json()["data"]
    (file,) = bob.get(f"/v1/jobs/{id}/artifacts").json()["data"]
    mine = token(page.get("/").text)
    for path in (
        f"/jobs/{id}",
        f"/jobs/{id}/events",
        f"/jobs/{id}/changes",
        f"/models/{model['id']}",
        f"/files/{file['id']}",
    ):
        assert page.get(path).status_code == 404, path
        if not path.endswith(("events", "changes")):
            assert admin.get(path).status_code == 200, path
    assert page.post(f"/jobs/{id}/cancel", data={"token": mine}).status_code == 404
    assert "There is no job" in page.get(f"/compare?job={id}").text


def test_a_study_is_submitted_once_however_often_the_button_is_pressed(page: TestClient, ada: TestClient) -> None:
    html = page.get("/new/study").text
    once = re.search(r'name="once" value="([^"]*)"', html)
    assert once
    sent = {
        "token": token(html),
        "once": once[1],
        "preset": "digits",
        "seeds": "1, 2",
        "labels": "paper=t2",
        "priority": "-1",
    }
    first, second = (page.post("/new/study", data=sent).headers["location"] for _ in range(2))
    assert first == second
    job = ada.get("/v1" + first).json()
    assert job["spec"]["seeds"] == [1, 2]
    assert (job["labels"], job["priority"]) == ({"paper": "t2"}, -1)
    other = page.post("/new/study", data={**sent, "seeds": "3"}).headers["location"]
    assert other != first


def test_errors_name_their_fields(page: TestClient, ada: TestClient) -> None:
    sent = {"token": token(page.get("/new/train").text), "dataset.name": "digits", "epochs": "no", "batch_size": "1"}
    answer = page.post("/new/train", data=sent)
    assert answer.status_code == 422
    found = dict(re.findall(r'id="f-([\w-]+)-error">([^<]+)<', answer.text))
    assert set(found) == {"epochs", "batch_size", "architecture-name"}
    assert "2 characters" not in unescape(found["epochs"])
    checked = page.post("/new/train/estimate", data=sent, headers={"Accept": "application/json"}).json()
    assert set(checked["errors"]) == {"epochs", "batch_size", "architecture.name"}
    assert not ada.get("/v1/jobs").json()["data"]


def test_what_is_asked_of_a_job(page: TestClient, ada: TestClient, database: Database) -> None:
    id = ada.post("/v1/jobs", json=_TRAIN).json()["id"]
    mine = {"token": token(page.get(f"/jobs/{id}").text)}
    for verb, state in [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("retry", "queued")]:
        assert page.post(f"/jobs/{id}/{verb}", data=mine).status_code == 303
        assert look(database, id).state == state
    assert page.post(f"/jobs/{id}/front", data=mine).status_code == 404  # for admins
    page.post(f"/jobs/{id}/cancel", data=mine)
    assert page.post(f"/jobs/{id}/pause", data=mine).status_code == 409
    assert page.post(f"/jobs/{id}/delete", data=mine).headers["location"] == "/"
    assert page.get(f"/jobs/{id}").status_code == 404


def test_what_admins_do(admin: TestClient, ada: TestClient, page: TestClient) -> None:
    mine = {"token": token(admin.get("/admin").text)}
    added = admin.post("/admin/users", data={**mine, "name": "cleo", "role": "member"})
    assert re.search(r'id="fresh">sieve_[0-9a-f]+_[\w-]+<', added.text)
    assert admin.post("/admin/users", data={**mine, "name": "cleo"}).status_code == 422
    assert (
        admin.post("/admin/users/ada/limits", data={**mine, "max_running": "3", "max_queued": "none"}).status_code
        == 303
    )
    usage = ada.get("/v1/usage").json()
    assert (usage["running"]["limit"], usage["queued"]["limit"]) == (3, None)
    assert admin.post("/admin/users/ada/limits", data={**mine, "max_running": "lots"}).status_code == 422
    admin.post("/admin/maintenance", data={**mine, "reason": "new cards"})
    assert "new cards" in page.get("/").text
    admin.post("/admin/maintenance", data=mine)
    assert "new cards" not in page.get("/").text
    admin.post("/admin/policy", data={**mine, "half_life_hours": "72", "max_gpu_hours": "", "preemption": "false"})
    policy = ada.get("/v1/policy").json()
    assert (policy["half_life_hours"], policy["max_gpu_hours"], policy["preemption"]) == (72, None, False)
    assert page.post("/admin/maintenance", data={"token": token(page.get("/").text)}).status_code == 403


def test_a_session_may_do_as_much_as_its_key(visitor: TestClient, root: TestClient, ada: TestClient) -> None:
    made = root.post("/v1/keys", json={"name": "to look", "scopes": ["read"]})
    key = made.json()["key"]
    assert isinstance(key, str), made.text
    id = ada.post("/v1/jobs", json=_TRAIN).json()["id"]
    looker = signed_in(visitor, key)
    html = looker.get(f"/jobs/{id}").text
    for path in (f"/jobs/{id}/cancel", "/new/train", "/admin/maintenance", "/account/keys"):
        answer = looker.post(path, data={"token": token(html), "reason": "x"})
        assert answer.status_code == 403, path
        assert "needs a key with the scope" in answer.text, path


def test_what_others_share_is_looked_at_and_left_alone(
    page: TestClient, bob: TestClient, database: Database, hand: Hand
) -> None:
    id = bob.post("/v1/jobs", json=_TRAIN).json()["id"]
    assert bob.patch(f"/v1/jobs/{id}", json={"shared": True}).status_code == 200
    html = page.get(f"/jobs/{id}").text
    assert "do-cancel" not in html
    assert page.post(f"/jobs/{id}/cancel", data={"token": token(html)}).status_code == 404
    assert look(database, id).state == "queued"


def test_a_job_that_has_ended_is_shown_with_its_figures(page: TestClient, ada: TestClient, hand: Hand) -> None:
    id = ada.post("/v1/jobs", json=_TRAIN).json()["id"]
    attempt = hand.take()
    attempt.record(("log", {"message": "it runs"}), points=[("loss", 1, 0.5), ("loss", 2, float("nan"))])
    attempt.succeed({"loss": 0.25, "epochs": 2}, model=b"weights")
    html = page.get(f"/jobs/{id}").text
    assert "it runs" in html
    assert "0.25" in html
    assert "model.safetensors" in html


def test_text_of_others_is_never_markup(admin: TestClient, ada: TestClient) -> None:
    name = "<script>alert(1)</script>"
    id = ada.post("/v1/jobs", json={**_TRAIN, "name": name, "labels": {name: name}}).json()["id"]
    for path in ("/?whose=all", f"/jobs/{id}", f"/compare?job={id}", f"/new/train?like={id}&name={name}"):
        assert name not in admin.get(path).text, path


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_form_gives_back_what_it_was_filled_with(preset: str) -> None:
    spec = parse({"kind": "study", "preset": preset, "seeds": [0, 3]})
    form = forms.form_of("study")
    body = {"kind": "study", **forms.filled_in(form, forms.filled_from(form, spec.model_dump(mode="json")))}
    assert parse(body) == spec


def test_copies_of_every_kind_give_the_same_job(database: Database) -> None:
    ada = person(database, "ada")
    study = submitted(database, ada, STUDY)
    _same(study.spec)
    for child in parts(database, study).values():
        if child.kind in KINDS:
            _same(child.spec)


def _same(spec: dict[str, object]) -> None:
    """As a command the spec comes out as it went in."""
    assert parse(shortened(spec)) == parse(spec)
    words = shlex.split(copies(spec, "http://here")["command"])
    assert words[:2] == ["sieve", "submit"]
    kind, seen = words[2], {}
    command = click.Command(
        kind, params=list(spec_options(KINDS[kind])), callback=lambda **found: seen.update(spec_values(found))
    )
    result = CliRunner().invoke(command, words[3:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert parse({"kind": kind, **seen}) == parse(spec)


_TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}
