"""Logs that can be trusted: no line that somebody else wrote, no secret, and the job in question beside each."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from store import logs

SECRETS = {
    "key": "sieve_0a1b2c3d4e5f_ZZZZsecretsecret-_ZZ",
    "address": "postgresql+psycopg://sieve:ZZZZhunter2@db:5432/sieve",
    "header": "Authorization: Bearer ZZZZabc.def",
    "storage": "AWS_SECRET_ACCESS_KEY=ZZZZ/abc+d",
}


def logged(monkeypatch: pytest.MonkeyPatch, form: str, message: str, *arguments: object, error: bool = False) -> str:
    """What a process would write."""
    out = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", out)
    try:
        logs.configure(form)  # type: ignore[arg-type]
        with logs.about(job="job_1", attempt=2):
            try:
                raise ValueError("first\n2026-01-01 ERROR forged: line")
            except ValueError:
                logging.getLogger("worker").warning(message, *arguments, exc_info=error)
    finally:
        root.handlers, root.level = before
    return out.getvalue()


def test_json_is_one_object_a_line_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    text = logged(monkeypatch, "json", "name is %s", 'a\n{"level": "ERROR"}', error=True)
    (line,) = text.splitlines()
    found = json.loads(line)
    assert (found["level"], found["logger"], found["job"], found["attempt"]) == ("WARNING", "worker", "job_1", 2)
    assert found["message"] == 'name is a\n{"level": "ERROR"}'
    assert "ValueError" in found["exc_info"]
    assert found["time"].startswith("20")


def test_text_cannot_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    text = logged(monkeypatch, "text", "name is %s", "a\n2026-01-01 ERROR forged\x1b[2K\r", error=True)
    first, *rest = text.splitlines()
    assert "WARNING worker [job_1 2]: name is a\\n2026-01-01 ERROR forged\\x1b[2K\\r" in first
    assert all(line.startswith("  | ") for line in rest)
    assert any("forged: line" in line for line in rest)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("what", SECRETS)
def test_secrets_are_struck_out(monkeypatch: pytest.MonkeyPatch, form: str, what: str) -> None:
    text = logged(monkeypatch, form, "got %s", SECRETS[what])
    assert "ZZZZ" not in text
    assert "got " in text


def test_what_a_block_is_about_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with logs.about(job="job_0"):
        assert "job_1" in logged(monkeypatch, "json", "inside")
        assert logs._about.get() == {"job": "job_0"}
    assert logs._about.get() == {}
