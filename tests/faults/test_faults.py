"""The client and the real service with a bad network between them: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import pytest

from sieve import Client, errors
from sieve.specs import TrainSpec
from tests.faults.conftest import Through
from tests.faults.proxy import Fault, What, once, storm
from tests.hand import Hand

TRAIN = TrainSpec.model_validate({"dataset": "digits", "architecture": "convnet", "epochs": 2})
ANY: tuple[What, ...] = ("cut request", "cut answer", "refuse", "refuse late", "repeat", "truncate")
DATA = random.Random(0).randbytes(300_000)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut request", 40),
        Fault("cut request", 10_000),
        Fault("cut answer", 0),
        Fault("cut answer", 200),
        Fault("cut answer", 1500),
        Fault("refuse"),
        Fault("refuse late"),
        Fault("repeat"),
        Fault("stall", 300),
        Fault("truncate"),
    ],
    ids=str,
)
def test_a_submission_makes_one_job(through: Through, client: Client, fault: Fault) -> None:
    faulty, proxy = through(once(fault), timeout=1.5 if fault.what == "stall" else 5)
    job = faulty.submit(TRAIN, name="one")
    assert [found.id for found in client.jobs()] == [job.id]
    assert job.name == "one"
    assert proxy.count(fault.what) == 1


def test_many_submissions_in_a_storm_make_as_many_jobs(through: Through, client: Client) -> None:
    faulty, proxy = through(storm(1, among=ANY))
    made = [faulty.submit(TRAIN, name=str(number)).id for number in range(24)]
    assert sorted(job.id for job in client.jobs()) == sorted(made)
    assert len(set(made)) == 24
    assert [job.name for job in client.jobs()] == [str(number) for number in reversed(range(24))]
    assert all(proxy.count(what) for what in ANY)


def test_a_download_in_a_storm_is_whole(through: Through, client: Client, hand: Hand, tmp_path: Path) -> None:
    job = client.submit(TRAIN)
    hand.take().succeed({}, model=DATA)
    cuts = [Fault("cut answer", after) for after in (0, 400, 50_000, 120_000, 90_000)]
    faulty, proxy = through(once(*cuts, Fault("refuse"), Fault("cut request", 30), of="GET /v1/artifacts/.*"))
    (artifact,) = faulty.job(job.id).artifacts()
    assert artifact.download(tmp_path / "got" / "model").read_bytes() == DATA
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["model"]
    assert proxy.count("cut answer") == 5


@pytest.mark.parametrize("what", ["truncate", "damage"])
def test_a_download_that_came_damaged_is_fetched_again(
    through: Through, client: Client, hand: Hand, tmp_path: Path, what: What
) -> None:
    job = client.submit(TRAIN)
    hand.take().succeed({}, model=DATA)
    (artifact,) = job.artifacts()
    faulty, _ = through(once(Fault(what, 1000)))
    artifact._client = faulty
    assert artifact.download(tmp_path / "got" / "model").read_bytes() == DATA
    faulty, _ = through(once(Fault(what, 1000), Fault(what, 2000)))
    artifact._client = faulty
    with pytest.raises(errors.DownloadDamaged):
        artifact.download(tmp_path / "got" / "other")
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["model"]


def test_events_come_once_each_and_in_order(through: Through, client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    attempt = hand.take()

    def work() -> None:
        for number in range(120):
            attempt.record(("log", {"message": str(number)}))
        attempt.succeed({}, model=b"weights")

    worker = threading.Thread(target=work)
    worker.start()
    cuts = [Fault("cut answer", 300 + 400 * number) for number in range(6)]
    between = (Fault("refuse"), Fault("cut request", 50))
    faulty, proxy = through(once(*cuts[:3], *between, *cuts[3:], of="GET .*/events"))
    seen = list(faulty.job(job.id).stream())
    worker.join()
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    assert [event.data["message"] for event in seen if event.type == "log"] == [str(number) for number in range(120)]
    assert proxy.count("cut answer") == 6


def test_a_wait_ends(through: Through, client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    attempt = hand.take()
    threading.Timer(3.0, attempt.succeed, args=({"standard": 0.5},), kwargs={"model": b"weights"}).start()
    faulty, proxy = through(storm(4, among=ANY, rate=0.7))
    assert faulty.job(job.id).wait(timeout=60).result == {"standard": 0.5}
    assert len(proxy.happened) > 3


def test_a_wait_outlasts_a_server_that_is_away(through: Through, client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    hand.take().succeed({}, model=b"weights")
    faulty, proxy = through(once(*[Fault("refuse")] * 40, of="GET .*"))
    with pytest.raises(errors.ServerFailed):
        faulty.job(job.id)
    job = job.model_copy(update={"state": "running"})
    job._client = faulty
    assert job.wait(timeout=30).succeeded
    assert proxy.count("refuse") == 40


def test_an_upload_in_a_storm_is_whole_and_there_once(through: Through, client: Client, tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(DATA)
    faulty, proxy = through(storm(5, among=ANY, rate=0.6))
    upload = faulty.upload(tmp_path / "images.zip")
    there = client.transport.json("GET", f"/v1/uploads/{upload}")
    assert there["arrived"] == len(DATA)
    assert there["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert len(proxy.happened) > 3


def test_an_interrupted_upload_goes_on_where_it_stopped(through: Through, client: Client, tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(DATA)
    pieces: list[int] = []

    def interrupted(there: int, size: int) -> None:
        pieces.append(there)
        if len(pieces) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.upload(tmp_path / "images.zip", progress=interrupted)
    upload = client.upload(tmp_path / "images.zip", progress=lambda there, _: pieces.append(there))
    assert client.transport.json("GET", f"/v1/uploads/{upload}")["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert pieces == sorted(set(pieces)), "no piece was sent twice"


def test_an_upload_that_came_damaged_is_refused(through: Through, client: Client, tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(DATA)

    def spoiled(there: int, size: int) -> None:
        if there < size:
            (tmp_path / "images.zip").write_bytes(DATA[::-1])

    with pytest.raises(errors.UploadDamaged):
        client.upload(tmp_path / "images.zip", progress=spoiled)


def test_what_is_asked_of_a_job_happens_once(through: Through, client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    faulty, _ = through(storm(6, among=ANY, rate=0.7))
    asked = faulty.job(job.id)
    assert [asked.pause().state, asked.resume().state, asked.cancel().state] == ["paused", "queued", "cancelled"]
    states = [change["state"] for change in client.job(job.id).state_history]
    assert states == ["queued", "paused", "queued", "cancelled"]


def test_an_export_is_made_once(through: Through, client: Client, hand: Hand) -> None:
    source = client.submit(TRAIN)
    spec = {"kind": "synthesize", "dataset": "digits", "model": source.id, "construction": {"method": "robust"}}
    made = client.submit(spec)
    hand.do_everything()
    faulty, _ = through(storm(7, among=ANY, rate=0.7))
    dataset = faulty.dataset(made.refresh().outputs["dataset"])
    assert len({dataset.export("npz").id for _ in range(4)}) == 1
    assert len(list(client.jobs(kind="export"))) == 1


@pytest.mark.parametrize(
    "fault", [Fault("cut answer", 0), Fault("refuse late"), Fault("repeat"), Fault("truncate")], ids=str
)
def test_a_webhook_is_pinged_once(through: Through, client: Client, fault: Fault) -> None:
    hook = client.create_webhook("https://hooks.example.org/")
    faulty, proxy = through(once(fault, of="POST .*/ping"))
    sent = faulty.webhook(hook.id).ping()
    assert [one.id for one in hook.deliveries()] == [sent.id]
    assert proxy.count(fault.what) == 1


def test_a_key_whose_answer_is_lost_is_made_once_and_named(through: Through, client: Client) -> None:
    faulty, _ = through(once(Fault("cut answer", 0), of="POST /v1/keys"))
    with pytest.raises(errors.Conflict) as lost:
        faulty.create_key("ci")
    made = client.keys()[0]
    assert (made.name, len(client.keys()), lost.value.code) == ("ci", 2, "shown_once")
    assert made.id in str(lost.value)
    client.revoke_key(made.id)
    assert faulty.create_key("ci").key


def test_silence_is_found_out(through: Through, client: Client, hand: Hand, tmp_path: Path) -> None:
    job = client.submit(TRAIN)
    hand.take().succeed({}, model=DATA)
    faulty, _ = through(once(Fault("stall", 100_000), of="GET /v1/artifacts/.*"), timeout=1.5)
    (artifact,) = faulty.job(job.id).artifacts()
    assert artifact.download(tmp_path / "got" / "model").read_bytes() == DATA
    faulty, _ = through(once(Fault("stall", 500), of="GET .*/events"))
    assert [event.id for event in faulty.job(job.id).stream()] == [1, 2, 3]
