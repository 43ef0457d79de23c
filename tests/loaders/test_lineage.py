"""Where a dataset comes from, and the same again."""

from __future__ import annotations

import pytest

from sieve import errors
from sieve.cli import run
from sieve.reproducing import NothingToReproduce
from store.jobs.delete import delete_job
from store.tables import Event, Job
from tests.loaders.conftest import Downloaded


def constructed(downloaded: Downloaded) -> str:
    (dataset,) = {job.spec["dataset"]["name"] for job in downloaded.exports.values()}
    return str(dataset)


def test_a_dataset_knows_all_that_it_was_made_of(downloaded: Downloaded) -> None:
    dataset = downloaded.client.dataset(constructed(downloaded))
    told = dataset.lineage()
    made, model, folder = told["nodes"]
    assert told["id"] == made["id"] == dataset.id
    assert (made["what"], model["what"], folder["what"]) == ("dataset", "model", "folder")
    assert made["inputs"] == {"noise": "noise", model["job"]: model["id"]}
    assert model["inputs"] == {"noise": "noise"}
    assert made["sha256"] == dataset.sha256
    assert model["sha256"] == downloaded.client.model(model["id"]).sha256
    assert made["seed"] == 7
    assert made["spec"]["construction"]["epsilon"] == 0.5
    assert len(folder["sha256"]) == 64
    assert all(node["there"] for node in told["nodes"])
    for node in (made, model):
        assert {"feature_sieve", "code", "python", "torch", "numpy"} <= node["software"].keys()
        assert {"host", "device", "threads", "processor"} <= node["hardware"].keys()


def test_events_may_be_forgotten_and_a_source_deleted(downloaded: Downloaded) -> None:
    client, name = downloaded.client, constructed(downloaded)
    train = {"kind": "train", "dataset": "noise", "architecture": "convnet", "epochs": 1, "batch_size": 64}
    source = client.submit(train).wait(timeout=60)
    how = {"method": "random_target", "epsilon": 0.5, "steps": 3}
    spec = {"kind": "synthesize", "dataset": "noise", "model": source.outputs["model"], "construction": how, "seed": 7}
    job = client.submit(spec).wait(timeout=60)
    mine = client.dataset(job.outputs["dataset"])
    assert mine.sha256 == client.dataset(name).sha256
    before = client.transport.json("GET", f"/v1/datasets/{mine.id}")["provenance"]
    with downloaded.database.transaction() as session:
        for event in session.query(Event).filter(Event.job_id == job.id, Event.type == "started"):
            session.delete(event)
        delete_job(session, session.get_one(Job, source.id))
    assert client.transport.json("GET", f"/v1/datasets/{mine.id}")["provenance"] == before
    assert before["software"]["torch"]
    gone = next(node for node in mine.lineage()["nodes"] if node["what"] == "model")
    assert gone["id"] == source.outputs["model"]
    assert gone["sha256"] == before["inputs"][gone["id"]]
    assert not gone["there"]
    assert gone["spec"] is None
    with pytest.raises(errors.Refused, match="/model"):
        client.reproduce(mine.id)


def test_the_same_again_has_the_same_bytes_and_figures(downloaded: Downloaded) -> None:
    client = downloaded.client
    dataset = client.dataset(constructed(downloaded))
    model = dataset.lineage()["nodes"][1]["id"]
    for made in (dataset.id, model):
        found = client.reproduce(made, timeout=60)
        assert found.identical
        assert found.again != made
        assert not found.figures
        assert not found.surroundings
        assert client.job(found.job).labels == {"reproduces": made}
    with pytest.raises(NothingToReproduce):
        client.reproduce("digits")


def test_the_command_shows_and_reproduces(
    downloaded: Downloaded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = downloaded.client.transport.config
    monkeypatch.setenv("SIEVE_URL", config.url)
    monkeypatch.setenv("SIEVE_API_KEY", str(config.key))
    name = constructed(downloaded)
    assert run(["show", name, "--lineage"]) == 0
    said = capsys.readouterr().out
    assert said.index(name) < said.index("mdl_") < said.index("noise  folder", said.index("mdl_"))
    assert "epsilon 0.5" in said
    assert run(["show", name]) == 0
    assert "shape: 3, 8, 8" in capsys.readouterr().out
    assert run(["reproduce", name]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("ds_")
    assert "the same bytes; no figures differ" in said.err
