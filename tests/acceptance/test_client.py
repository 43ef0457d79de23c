"""The Python client against the real service."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

from sieve import Client, errors
from sieve.specs import StudySpec, TrainSpec
from store import accounts
from store.database import Database
from store.jobs.submit import submit
from tests.hand import Hand
from tests.working import eventually

TRAIN = TrainSpec.model_validate({"dataset": "digits", "architecture": "convnet", "epochs": 2})


def test_submit_wait_and_download(client: Client, hand: Hand, tmp_path: Path) -> None:
    job = client.submit(TRAIN, name="first", labels={"paper": "2"}, priority=1)
    assert repr(job) == str(job) == f"<Job {job.id} train 'first' queued>"
    assert (job.labels, job.priority, job.spec["epochs"]) == ({"paper": "2"}, 1, 2)
    attempt = hand.take()
    attempt.progress("training", 1, 2)
    assert repr(job.refresh()).endswith("running 50%>")
    with pytest.raises(errors.WaitTimeout):
        job.wait(timeout=0.3)
    attempt.record(("log", {"message": "hello"}), points=[("loss", 1, float("nan")), ("loss", 2, 0.5)])
    threading.Timer(0.3, attempt.succeed, args=({"standard": 0.9},), kwargs={"model": b"weights" * 1000}).start()
    assert job.wait(timeout=30) is job
    assert job.succeeded
    assert job.result == {"standard": 0.9}
    assert job.logs() == ["hello"]
    (loss,) = job.metrics("loss").values()
    assert str(loss) == "[(1, nan), (2, 0.5)]"
    (artifact,) = job.artifacts()
    seen: list[tuple[int, int]] = []
    path = artifact.download(tmp_path, progress=lambda there, total: seen.append((there, total)))
    assert path == tmp_path / "model.safetensors"
    assert path.read_bytes() == b"weights" * 1000
    assert seen[-1] == (7000, 7000)
    model = client.model(job.outputs["model"])
    assert model.download(tmp_path / "m.safetensors").read_bytes() == b"weights" * 1000
    assert [found.id for found in client.models()] == [model.id]
    assert client.me()["name"] == "ada"


def test_a_job_that_fails_raises_where_it_is_waited_for(client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    hand.take().fail("the loss is not a number")
    with pytest.raises(errors.JobUnsuccessful, match="the loss is not a number") as raised:
        job.wait()
    assert raised.value.job is job
    assert job.wait(check=False).state == "failed"
    assert job.retry().state == "queued"
    assert job.pause().state == "paused"
    assert job.resume().state == "queued"
    assert job.cancel().state == "cancelled"


def test_errors_carry_the_problem(client: Client, address: str) -> None:
    with pytest.raises(errors.Refused) as refused:
        client.submit({"kind": "train", "dataset": "digit", "architecture": "convnet"})
    assert refused.value.errors[0].pointer == "/dataset/name"
    assert refused.value.code == "unknown_name"
    with pytest.raises(errors.NotFound, match="there is no job job_none"):
        client.job("job_none")
    with pytest.raises(errors.NotAllowed):
        Client(address, "sieve_no_key").me()
    job = client.submit(TRAIN)
    job.cancel()
    with pytest.raises(errors.Conflict) as conflict:
        job.pause()
    assert conflict.value.code == "illegal_transition"


def test_a_study_from_a_preset_to_its_report(client: Client, hand: Hand, tmp_path: Path) -> None:
    spec = StudySpec.model_validate({"preset": "digits", "seeds": [3]})
    assert len(client.plan(spec)["jobs"]) == 19
    study = client.submit(spec)
    hand.do_everything()
    assert study.wait().report() == {"rows": []}
    assert client.report(study, "md") == "# Report"
    assert {child.state for child in study.children} == {"succeeded"}
    paths = {path.relative_to(tmp_path).as_posix() for path in study.download(tmp_path)}
    assert {"3/synthesize/D_R/dataset.safetensors", "3/train/D/model.safetensors", "report/report.html"} <= paths
    assert len(list(client.jobs(study=study.id))) == 19


def test_lists_turn_their_own_pages(client: Client, database: Database) -> None:
    with database.transaction() as session:
        ada = accounts.find_user(session, "ada")
        assert ada is not None
        ids = sorted(submit(session, owner=ada, spec=TRAIN).job.id for _ in range(103))
    assert [job.id for job in client.jobs()] == ids[::-1]
    assert [job.id for job in client.jobs(limit=2)] == ids[:-3:-1]
    assert [row["place"] for row in client.queue()[:2]] == [1, 2]
    assert {"digits", "planted"} <= {dataset.id for dataset in client.datasets()}


def test_a_key_given_twice_makes_one_job(client: Client) -> None:
    first = client.submit(TRAIN, idempotency_key="once")
    assert client.submit(TRAIN, idempotency_key="once").id == first.id
    assert client.submit(TRAIN).id != client.submit(TRAIN).id, "keys that are not given are drawn"


def test_events_stream_as_they_happen(client: Client, hand: Hand) -> None:
    job = client.submit(TRAIN)
    attempt = hand.take()
    arrived: list[str] = []

    def read() -> None:
        arrived.extend(event.type for event in job.stream())

    reader = threading.Thread(target=read)
    reader.start()
    eventually(lambda: arrived == ["state", "state"])
    attempt.record(("log", {"message": "one"}))
    eventually(lambda: arrived == ["state", "state", "log"])
    attempt.fail()
    reader.join(120)
    assert not reader.is_alive(), "the stream ends with the job"
    assert arrived == ["state", "state", "log", "state"]
    assert job.state == "failed"


def test_a_stream_speaks_while_nothing_happens(
    client: Client, address: str, key: str, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.streams.HEARTBEAT_SECONDS", 0.3)
    job = client.submit(TRAIN)
    attempt = hand.take()
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {key}", "Last-Event-ID": "2"}
    with httpx.stream("GET", f"{address}/v1/jobs/{job.id}/events", headers=headers, timeout=5) as response:
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": still here"
        attempt.fail()
        assert "event: end" in list(lines)
