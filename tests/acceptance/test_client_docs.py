"""docs/client.md as one program, against the real service and a real worker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.settings import Settings
from tests.serving import served
from tests.working import ROOT, SETTINGS

PAGE = ROOT / "docs" / "client.md"


def program(page: Path) -> str:
    """Its Python blocks, each line where it is in the page, so that a traceback leads there."""
    text = page.read_text(encoding="utf-8")
    lines = [""] * len(text.splitlines())
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        first = text[: block.start(1)].count("\n")
        for at, line in enumerate(block[1].splitlines()):
            lines[first + at] = line
    return "\n".join(lines)


@pytest.fixture
def worker(settings: Settings) -> Iterator[None]:
    told = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "SIEVE_HOME": str(settings.home)}
    process = subprocess.Popen([sys.executable, "-m", "worker"], cwd=ROOT, env=os.environ | SETTINGS | told)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.full  # a worker of its own has to warm up
@pytest.mark.usefixtures("worker")
def test_the_page_runs(
    settings: Settings, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(settings) as address:
        for name, value in {"SIEVE_URL": address, "SIEVE_API_KEY": key, "SIEVE_CACHE": str(tmp_path / "cache")}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        exec(compile(program(PAGE), PAGE, "exec"), {})
    said = capsys.readouterr().out
    assert "/dataset/name there is no dataset 'digit'; did you mean 'digits'?" in said or "/epochs" in said
    assert "robust source" in said
    assert (tmp_path / "job.html").read_text().count("<div") > 1
    assert "data:image/png" in (tmp_path / "dataset.html").read_text()


def test_the_tree_of_errors_is_the_modules_own() -> None:
    from sieve import errors

    tree = (errors.__doc__ or "").partition("SieveError")[2].strip()
    assert tree in PAGE.read_text(encoding="utf-8")
