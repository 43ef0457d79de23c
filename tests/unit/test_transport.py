"""What the client does when the network or the server does not do its part."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from sieve import Client, errors, patience
from sieve.objects import Artifact
from tests.unit.scripted import Answer, Scripted, answer, cut, scripted

DATA = bytes(range(256)) * 20
SHA256 = hashlib.sha256(DATA).hexdigest()
JOB = {"id": "job_1", "kind": "train", "state": "queued"}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own pauses are short; what a server asks for is kept."""
    monkeypatch.setattr(patience, "_pause", lambda _: 0.01)


def sent(script: Scripted, header: str) -> list[str | None]:
    return [headers.get(header) for _, _, headers in script.requests]


def test_what_fails_for_a_moment_is_tried_again_with_the_same_idempotency_key() -> None:
    whole = answer(202, json.dumps(JOB).encode())
    with scripted(answer(503), cut(100, b"x"), answer(429), whole) as script, Client(script.url, "k") as client:
        assert client.submit({"kind": "train"}).id == "job_1"
    keys = sent(script, "Idempotency-Key")
    assert len(keys) == 4
    assert len(set(keys)) == 1
    assert keys[0]


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(as_date: bool) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    with scripted(answer(503, Retry_After=moment if as_date else "1"), answer()) as script:
        start = time.monotonic()
        Client(script.url, "k").me()
        assert 0.8 < time.monotonic() - start < 3.0


def test_a_server_that_stays_away_is_given_up() -> None:
    with scripted(answer(503, b'{"code": "database_unavailable", "detail": "away"}')) as script:
        with pytest.raises(errors.ServerFailed, match="away"):
            Client(script.url, "k").me()
        assert len(script.requests) == patience.TRIES
    with pytest.raises(errors.ServerUnreachable, match="does not answer"):
        Client(script.url, "k").me()


def test_a_fault_of_the_server_is_not_repeated() -> None:
    with scripted(answer(500, b"<html>")) as script:
        with pytest.raises(errors.ServerFailed, match="status 500"):
            Client(script.url, "k").me()
        assert len(script.requests) == 1


def artifact(script: Scripted) -> Artifact:
    values = {"id": "art_1", "job": "job_1", "name": "a.bin", "role": "data", "media_type": "x/y", "size": len(DATA)}
    return Artifact._of(Client(script.url, "k"), values | {"sha256": SHA256})


def rest(start: int) -> Answer:
    return answer(206, DATA[start:], Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")


def test_a_download_that_is_cut_goes_on_where_it_stopped(tmp_path: Path) -> None:
    middle = cut(4120, DATA[1000:3000], status=206, Content_Range="bytes 1000-5119/5120")
    with scripted(cut(len(DATA), DATA[:1000]), middle, rest(3000)) as script:
        path = artifact(script).download(tmp_path)
    assert path.read_bytes() == DATA
    assert sent(script, "Range") == [None, "bytes=1000-", "bytes=3000-"]
    assert sent(script, "If-Range") == [None, f'"{SHA256}"', f'"{SHA256}"']
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_part_of_an_earlier_try_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(DATA[:2000])
    with scripted(rest(2000)) as script:
        assert artifact(script).download(tmp_path).read_bytes() == DATA
    assert sent(script, "Range") == ["bytes=2000-"]


def test_a_part_that_is_complete_needs_no_byte_more(tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(DATA)
    with scripted(answer(416)) as script:
        assert artifact(script).download(tmp_path).read_bytes() == DATA


def test_a_part_of_something_else_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"something else")
    with scripted(rest(14), answer(200, DATA)) as script:
        assert artifact(script).download(tmp_path).read_bytes() == DATA
    assert sent(script, "Range") == ["bytes=14-", None]


def test_a_server_that_sends_the_whole_again_is_understood(tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(DATA[:2000])
    with scripted(answer(200, DATA)) as script:
        assert artifact(script).download(tmp_path).read_bytes() == DATA


def test_what_arrives_damaged_is_not_kept(tmp_path: Path) -> None:
    with scripted(answer(200, DATA[:-1] + b"\0")) as script, pytest.raises(errors.DownloadDamaged, match="arrived"):
        artifact(script).download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(DATA)
    with scripted(answer(500)) as script:
        assert artifact(script).download(tmp_path).read_bytes() == DATA
        assert script.requests == []


def test_a_download_that_never_moves_is_given_up(tmp_path: Path) -> None:
    with scripted(cut(len(DATA), b"")) as script:
        with pytest.raises(errors.ServerUnreachable):
            artifact(script).download(tmp_path)
        assert len(script.requests) == patience.TRIES


def stream(*events: int, end: bool = False) -> Answer:
    body = "retry: 2000\n\n: still here\n\n"
    for id in events:
        body += f"id: {id}\nevent: log\ndata: " + json.dumps({"id": id, "type": "log", "data": {}}) + "\n\n"
    body += 'event: end\ndata: {"state": "succeeded"}\n\n' if end else ""
    return answer(200, body.encode(), Content_Type="text/event-stream")


def test_a_stream_goes_on_after_the_last_event_it_saw() -> None:
    job = answer(200, json.dumps(JOB).encode())
    with scripted(job, stream(1, 2), answer(503), stream(3), stream(end=True)) as script:
        followed = Client(script.url, "k").job("job_1")
        assert [event.id for event in followed.stream()] == [1, 2, 3]
        assert followed.state == "succeeded"
    assert sent(script, "Last-Event-ID")[1:] == ["0", "2", "2", "3"]


def test_what_the_same_key_is_being_done_for_is_waited_for() -> None:
    busy = answer(409, b'{"code": "idempotency_key_in_flight"}')
    with scripted(*[busy] * (2 * patience.TRIES), answer(202, json.dumps(JOB).encode())) as script:
        assert Client(script.url, "k").submit({"kind": "train"}).id == "job_1"
    assert len(set(sent(script, "Idempotency-Key"))) == 1


def test_an_answer_that_was_cut_short_is_asked_for_again() -> None:
    with scripted(answer(200, b'{"id": "job'), answer(200, json.dumps(JOB).encode())) as script:
        assert Client(script.url, "k").job("job_1").state == "queued"


def test_another_part_than_was_asked_for_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(DATA[:2000])
    shifted = answer(206, DATA[1000:], Content_Range="bytes 1000-5119/5120")
    with scripted(shifted, answer(200, DATA)) as script:
        assert artifact(script).download(tmp_path).read_bytes() == DATA


def test_two_who_want_one_file_at_once_fetch_it_once(tmp_path: Path) -> None:
    with scripted(answer(200, DATA), answer(500)) as script:
        wanted = artifact(script)
        with ThreadPoolExecutor(4) as pool:
            paths = list(pool.map(lambda _: wanted.download(tmp_path), range(4)))
        assert {path.read_bytes() for path in paths} == {DATA}
        assert len(script.requests) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_too_many_requests_say_when() -> None:
    with scripted(answer(429, b"{}", Retry_After="0")) as script:
        with pytest.raises(errors.TooManyRequests) as raised:
            Client(script.url, "k").me()
        assert (raised.value.retry_after, raised.value.temporary) == (0.0, True)


def test_one_try_is_one_try() -> None:
    with scripted(answer(503)) as script, pytest.raises(errors.ServerFailed):
        Client(script.url, "k", tries=1).me()
    assert len(script.requests) == 1
