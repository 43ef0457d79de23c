"""Files stay short, and name neither somebody's machine nor a package registry."""

from __future__ import annotations

import re

import pytest

from tests.architecture.sources import ROOT, tracked_files

LONGEST = 400
LONGER_FOR_A_REASON = {"store/tables.py": "all tables, to be seen beside each other"}
"""Path: why it is longer than LONGEST lines."""

ELSEWHERE = re.compile(
    r"(?<![\w.~-])/(work|root|home|Users|opt)/[\w.]"
    r"|--(extra-)?(index-url|find-links)[ =]\S*://"
    r"|https?://[\w.-]*(py"
    r"pi|pythonhosted|registry|artifactory)"
)
"""Paths that exist on one machine only, and addresses of package registries."""

HERE = "tests/architecture/test_files.py"


def test_files_are_short_or_have_a_reason() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked_files()
        if path.suffix == ".py" and (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert set(long) == set(LONGER_FOR_A_REASON), long


def test_no_machine_and_no_registry_is_named() -> None:
    named = []
    for path in tracked_files():
        name = str(path.relative_to(ROOT))
        if name == HERE:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # a picture
            continue
        named += [
            f"{name}:{number}: {line}" for number, line in enumerate(text.splitlines(), 1) if ELSEWHERE.search(line)
        ]
    assert not named, "\n".join(named)


@pytest.mark.parametrize(
    "line", ["cd /root" + "/x", "in /opt" + "/wheels", "--index-url=https" + "://x", "https" + "://registry.example/a"]
)
def test_the_search_notices(line: str) -> None:
    assert ELSEWHERE.search(line)


@pytest.mark.parametrize("line", ["GET /v1/work/load", "a/root/b", "WORKDIR /app", "$HOME/.config", "~/work/x"])
def test_the_search_leaves_others_alone(line: str) -> None:
    assert not ELSEWHERE.search(line)


def test_the_lock_pins_and_hashes_everything() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", entry) for entry in entries)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not (ROOT / "uv.lock").exists()
