"""What comes of jobs, over HTTP: events in three forms, curves, logs, files in parts, reports, provenance."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.hand import Hand

TRAIN: dict[str, Any] = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}
DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


def sent(text: str) -> list[dict[str, str]]:
    """The messages of an event stream."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", maxsplit=1) for line in block.splitlines()) for block in blocks]


@pytest.fixture
def job(ada: TestClient, hand: Hand) -> str:
    """A job that has ended, with a log, curves, and a model of 10,240 bytes."""
    job = ada.post("/v1/jobs", json=TRAIN).json()["id"]
    attempt = hand.take()
    attempt.record(("log", {"message": "line one"}), points=[("loss", step, 1 / step) for step in range(1, 101)])
    attempt.record(("log", {"message": "line two"}), points=[("odd", 1, float("nan")), ("odd", 2, float("-inf"))])
    attempt.succeed({"loss": float("inf")}, model=DATA)
    return str(job)


def test_events_are_the_same_as_page_lines_and_stream(ada: TestClient, job: str) -> None:
    path = f"/v1/jobs/{job}/events"
    page = ada.get(path).json()
    assert [event["type"] for event in page["data"]] == ["state", "state", "log", "log", "state"]
    assert [event["id"] for event in page["data"]] == [1, 2, 3, 4, 5]
    assert page["next"] is None
    lines = ada.get(path, headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in lines.text.splitlines()] == page["data"]
    stream = ada.get(path, headers={"Accept": "text/event-stream"})
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    messages = [message for message in sent(stream.text) if "data" in message]
    assert [json.loads(message["data"]) for message in messages[:-1]] == page["data"]
    assert [message["id"] for message in messages[:-1]] == ["1", "2", "3", "4", "5"]
    assert messages[-1] == {"event": "end", "data": '{"state": "succeeded"}'}


def test_events_go_on_after_an_id(ada: TestClient, job: str) -> None:
    path = f"/v1/jobs/{job}/events"
    first = ada.get(path, params={"limit": 2}).json()
    assert first["next"] == 2
    assert [event["id"] for event in ada.get(path, params={"after": 2}).json()["data"]] == [3, 4, 5]
    again = ada.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "4"})
    assert [message["event"] for message in sent(again.text) if "event" in message] == ["state", "end"]


def test_curves_are_thinned_and_keep_what_json_cannot_say(ada: TestClient, job: str) -> None:
    metrics = ada.get(f"/v1/jobs/{job}/metrics").json()["metrics"]
    assert metrics["odd"] == [[1, "NaN"], [2, "-Infinity"]]
    assert metrics["loss"] == [[step, 1 / step] for step in range(1, 101)]
    thin = ada.get(f"/v1/jobs/{job}/metrics", params={"name": "loss", "points": 10}).json()["metrics"]
    assert list(thin) == ["loss"]
    assert 10 <= len(thin["loss"]) <= 12
    assert (thin["loss"][0][0], thin["loss"][-1][0]) == (1, 100)
    assert ada.get(f"/v1/jobs/{job}").json()["result"] == {"loss": "Infinity"}


def test_a_log_is_lines_of_text(ada: TestClient, job: str) -> None:
    answer = ada.get(f"/v1/jobs/{job}/logs")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text == "line one\nline two\n"


@pytest.fixture
def url(ada: TestClient, job: str) -> str:
    (artifact,) = ada.get(f"/v1/jobs/{job}/artifacts").json()["data"]
    assert (artifact["sha256"], artifact["size"], artifact["job"]) == (SHA256, len(DATA), job)
    return str(artifact["url"])


def test_a_download_is_whole_and_named_by_its_hash(ada: TestClient, url: str) -> None:
    whole = ada.get(url)
    assert whole.content == DATA
    assert whole.headers["ETag"] == f'"{SHA256}"'
    assert whole.headers["Content-Length"] == str(len(DATA))
    assert whole.headers["Accept-Ranges"] == "bytes"
    digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert whole.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert 'filename="model.safetensors"' in whole.headers["Content-Disposition"]
    head = ada.head(url)
    assert head.content == b""
    assert {name: head.headers[name] for name in ("etag", "content-length")} == {
        name: whole.headers[name] for name in ("etag", "content-length")
    }


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=10000-", 10000, 10240), ("bytes=-5", 10235, 10240)],
)
def test_a_range_is_that_part(ada: TestClient, url: str, asked: str, start: int, end: int) -> None:
    part = ada.get(url, headers={"Range": asked})
    assert part.status_code == 206
    assert part.content == DATA[start:end]
    assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert part.headers["Content-Length"] == str(end - start)


def test_several_ranges_come_as_parts(ada: TestClient, url: str) -> None:
    parts = ada.get(url, headers={"Range": "bytes=0-9, 20-29"})
    assert parts.status_code == 206
    assert parts.headers["Content-Type"].startswith("multipart/byteranges")
    assert DATA[:10] in parts.content
    assert DATA[20:30] in parts.content


@pytest.mark.parametrize("asked", ["bytes=", "bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=1-2,", "nonsense"])
def test_a_malformed_range_is_ignored(ada: TestClient, url: str, asked: str) -> None:
    answer = ada.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, DATA)


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_beyond_the_end_is_a_problem(ada: TestClient, url: str, asked: str) -> None:
    answer = ada.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


def test_validators(ada: TestClient, url: str) -> None:
    etag = f'"{SHA256}"'
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = ada.get(url, headers={"If-None-Match": given})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["ETag"] == etag
    assert ada.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    ranged = {"Range": "bytes=0-9"}
    assert ada.get(url, headers=ranged | {"If-Range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Mon, 23 Nov 2026 00:00:00 GMT"):
        assert ada.get(url, headers=ranged | {"If-Range": other}).content == DATA
    assert ada.get(url, headers={"Range": "bytes=99999-", "If-Range": '"other"'}).status_code == 200


def test_models_and_datasets_know_where_they_come_from(ada: TestClient, job: str, hand: Hand) -> None:
    made = ada.get(f"/v1/jobs/{job}").json()["outputs"]["model"]
    model = ada.get(f"/v1/models/{made}").json()
    assert (model["architecture"], model["shape"], model["classes"]) == ("convnet", [1, 8, 8], 10)
    assert (model["job"], model["sha256"], model["size"]) == (job, SHA256, len(DATA))
    assert model["provenance"]["spec"]["epochs"] == 2
    assert ada.get(model["weights"]).content == DATA
    spec = {"kind": "synthesize", "dataset": "digits", "model": made, "construction": {"method": "random_target"}}
    synthesis = ada.post("/v1/jobs", json=spec | {"seed": 5}).json()["id"]
    hand.take().succeed({}, dataset=b"images", picture=b"png")
    dataset = ada.get("/v1/datasets/" + ada.get(f"/v1/jobs/{synthesis}").json()["outputs"]["dataset"]).json()
    assert (dataset["source"], dataset["train_images"], dataset["test_images"]) == ("job", 1437, 0)
    assert dataset["provenance"]["seed"] == 5
    assert dataset["provenance"]["inputs"] == {made: SHA256}
    assert ada.get(dataset["download"]).content == b"images"
    assert dataset["id"] in [row["id"] for row in ada.get("/v1/datasets").json()["data"]]
    built_in = ada.get("/v1/datasets/digits").json()
    assert built_in["source"] == "built-in"
    assert "size" in built_in["options"]["properties"]
    assert ada.get("/v1/datasets/digits/download").json()["code"] == "no_file"
    wrong = ada.get(dataset["download"].replace("safetensors", "xlsx"))
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "format")


def test_a_report_comes_as_it_is_asked_for(ada: TestClient, hand: Hand) -> None:
    study = ada.post("/v1/jobs", json={"kind": "study", "preset": "digits"}).json()["id"]
    path = f"/v1/jobs/{study}/report"
    early = ada.get(path)
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    hand.do_everything()
    assert ada.get(f"/v1/jobs/{study}").json()["state"] == "succeeded"
    assert ada.get(path).json() == {"rows": []}
    assert ada.get(path, params={"format": "md"}).text == "# Report"
    assert ada.get(path, headers={"Accept": "text/html,application/xhtml+xml;q=0.9"}).text == "<h1/>"
    assert ada.get(path, headers={"Accept": "text/html"}).headers["Content-Security-Policy"].startswith("sandbox")
    artifacts = ada.get(f"/v1/jobs/{study}/artifacts").json()["data"]
    datasets = [artifact["node"] for artifact in artifacts if artifact["role"] == "dataset"]
    assert sorted(datasets) == [f"0/synthesize/{row}" for row in ("D_NR", "D_R", "D_det", "D_rand")]
    child = ada.get("/v1/jobs", params={"study": study, "kind": "train"}).json()["data"][0]["id"]
    assert ada.get(f"/v1/jobs/{child}/report").json()["code"] == "no_report"
