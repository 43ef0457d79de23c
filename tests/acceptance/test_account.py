"""Keys, webhooks, sharing and links, by the client and the command, against the real service."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sieve import Client, errors
from sieve.cli import run
from sieve.specs import TrainSpec
from store import accounts
from store.database import Database
from tests.hand import Hand

TRAIN = TrainSpec.model_validate({"dataset": "digits", "architecture": "convnet", "epochs": 2})
HOOK = "https://hooks.example.org/sieve"


@pytest.fixture
def bob(address: str, client: Client, database: Database) -> Client:
    """Somebody else."""
    del client
    with database.transaction() as session:
        return Client(address, accounts.create_key(session, accounts.create_user(session, "bob", "member")))


def test_keys(client: Client, address: str) -> None:
    made = client.create_key("ci", scopes=["read", "submit"], expires_in_days=1)
    assert repr(made) == f"<Key {made.id} 'ci' read,submit>"
    assert made.key not in repr(made) + str(made)
    assert client.keys()[0].id == made.id
    with Client(address, made.key) as ci:
        ci.submit(TRAIN)
        with pytest.raises(errors.NotAllowed, match="'admin'"):
            ci.create_key()
        client.revoke_key(made.id)
        with pytest.raises(errors.NotAllowed):
            ci.me()
    assert repr(client.keys()[0]) == f"<Key {made.id} 'ci' read,submit revoked>"


def test_a_secret_whose_answer_was_lost_is_not_made_twice(client: Client) -> None:
    told = {"body": {"name": "ci"}, "headers": {"Idempotency-Key": "as the client repeats it"}}
    made = client.transport.json("POST", "/v1/keys", **told)
    with pytest.raises(errors.Conflict, match=made["id"]) as refused:
        client.transport.json("POST", "/v1/keys", **told)
    assert refused.value.code == "shown_once"
    assert len(client.keys()) == 2


def test_webhooks(client: Client) -> None:
    with pytest.raises(errors.Refused) as refused:
        client.create_webhook("https://127.0.0.1/")
    assert refused.value.errors[0].pointer == "/url"
    made = client.create_webhook(HOOK, events=["job.failed"], description="to the channel")
    assert made.secret.startswith("whsec_")
    assert made.secret not in repr(made)
    (hook,) = client.webhooks()
    assert repr(hook) == f"<Webhook {made.id} {HOOK} job.failed>"
    assert hook.change(events=["job.failed", "job.cancelled"], enabled=False) is hook
    assert hook.events == ["job.cancelled", "job.failed"]
    assert client.webhook(hook.id).disabled_why
    with pytest.raises(errors.Conflict):
        hook.ping()
    assert hook.change(enabled=True).disabled_at is None
    sent = {hook.ping().id for _ in range(3)}
    told = list(hook.deliveries(limit=2))
    assert [one.type for one in told] == ["ping", "ping"]
    assert {one.id for one in hook.deliveries()} == sent
    hook.delete()
    assert client.webhooks() == []


def test_sharing(client: Client, bob: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    hand.do_everything()
    model = job.wait().model()
    assert not model.shared
    with pytest.raises(errors.NotFound):
        bob.model(model.id)
    assert model.share().shared
    assert bob.model(model.id).shared
    assert not model.unshare().shared
    assert job.share() is job
    assert job.shared
    assert [found.id for found in bob.jobs(shared=True)] == [job.id]
    assert list(bob.jobs()) == []
    with pytest.raises(errors.NotFound):
        bob.job(job.id).share()
    assert job.amend(name="other", labels={"paper": "3"}).name == "other"
    assert client.job(job.id).labels == {"paper": "3"}
    assert not job.unshare().shared
    with pytest.raises(errors.NotFound):
        bob.job(job.id)


def test_links(client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    hand.do_everything()
    model = job.wait().model()
    (artifact,) = job.artifacts()
    for link in (model.link(seconds=60), artifact.link()):
        assert "signature" not in repr(link), "who sees a notebook does not have the link"
        file = httpx.get(link.url, trust_env=False)
        assert file.status_code == 200
        assert len(file.content) == model.size
    assert link.expires_at - datetime.now(UTC) < timedelta(hours=1)


def test_lists_by_time_and_what_the_server_can_do(client: Client) -> None:
    job = client.submit(TRAIN)
    assert job.created_at is not None
    later = job.created_at + timedelta(seconds=1)
    assert [found.id for found in client.jobs(created_after=job.created_at, created_before=later)] == [job.id]
    assert list(client.jobs(created_after=later)) == []
    assert {"pgd"} <= client.attacks().keys()
    assert {"parquet", "safetensors"} <= client.formats().keys()
    assert {"train", "study"} <= client.kinds().keys()
    assert client.policy()["maintenance"] is None
    assert client.usage()["queued"]["used"] == 1
    upload = client.transport.json("POST", "/v1/uploads", body={"name": "a", "size": 1})["id"]
    client.forget_upload(upload)
    with pytest.raises(errors.NotFound):
        client.forget_upload(upload)


@pytest.fixture
def told(address: str, key: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SIEVE_URL": address, "SIEVE_API_KEY": key, "SIEVE_CONFIG": f"{tmp_path}/none"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("told")
def test_the_commands(client: Client, hand: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str, code: int = 0) -> str:
        assert run(arguments) == code, capsys.readouterr().err
        return capsys.readouterr().out

    def values(*arguments: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(said(*arguments, "--json"))
        return found

    secret = said("keys", "create", "laptop", "--scope", "read", "--expires", "30d").strip()
    made = client.keys()[0]
    assert (made.scopes, secret.startswith(f"sieve_{made.prefix}_")) == (["read"], True)
    assert secret not in said("keys")
    assert "laptop" in said("keys")
    assert said("keys", "-q").split()[0] == made.id
    assert values("keys", "revoke", made.id)[0]["revoked_at"]
    assert "revoked" in said("keys")
    said("keys", "revoke", "key_none", code=4)

    assert said("webhooks", "create", HOOK, "--event", "job.failed").startswith("whsec_")
    (hook,) = client.webhooks()
    assert hook.events == ["job.failed"]
    said("webhooks", "create", "https://127.0.0.1/", code=2)
    assert "failed" in said("webhooks")
    sent = said("webhooks", "ping", hook.id).strip()
    assert values("webhooks", "deliveries", hook.id)[0]["id"] == sent
    assert values("webhooks", "disable", hook.id)[0]["disabled_at"]
    assert "enabled" in said("webhooks", "enable", hook.id)
    assert said("webhooks", "delete", hook.id, "-q").strip() == hook.id
    assert values("webhooks") == []

    job = client.submit(TRAIN)
    hand.do_everything()
    model = job.wait().model().id
    assert said("share", job.id, model).split()[-2:] == [model, "yes"]
    assert [row["shared"] for row in values("unshare", job.id, model)] == [False, False]
    assert values("jobs", "--shared") == []
    for url in (said("link", model).strip(), said("link", job.id, "--expires", "10m").strip()):
        assert httpx.get(url, trust_env=False).status_code == 200
    assert "gpu hours this week" in said("usage")
    assert "queued" in json.loads(said("usage", "--json"))
