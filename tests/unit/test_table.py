"""Tables fit the terminal that they are printed on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from sieve.cli.table import fitted

COLUMNS = ("id", "kind", "name", "state", "progress", "owner", "age")
SPARE = ("owner", "age", "progress", "kind", "name")
LONG = ("synthesize", "a name that is rather long", "running", "80% searching, 3 min left", "somebody", "5 min")
ROWS = [
    ("job_01m8c00wn7r8rt7dh3f9k598ps", *LONG),
    ("job_01m8c00wn7r8rt7dh3f9k598pt", "train", "b", "cancelled", "", "ada", "2 h"),
]


def printed(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True, highlight=False)
    console.print(fitted(COLUMNS, [[Text(cell) for cell in row] for row in ROWS], width, SPARE))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [30, 41, 42, 60, 80, 100, 120, 240])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(len(line.rstrip()) <= width for line in printed(width))


def test_what_is_wide_enough_is_whole() -> None:
    whole = printed(240)
    assert whole[0].split() == list(COLUMNS)
    assert ROWS[0][2] in whole[1]
    assert len(whole) == 3


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (80, ["id", "kind", "name", "state", "progress", "age"]),
        (60, ["id", "name", "state"]),
        (42, ["id", "state"]),
    ],
)
def test_a_narrow_terminal_goes_without_the_least_important(width: int, kept: list[str]) -> None:
    lines = printed(width)
    assert lines[0].split() == kept
    assert len(lines) == 3, "a row is a line"
    assert all(ROWS[at][0] in lines[at + 1] for at in range(2)), "an id is always whole"


def test_sentences_go_on_in_the_next_line() -> None:
    console = Console(file=io.StringIO(), width=60, soft_wrap=True)
    why = "you have 4 jobs running, and may have 4: it starts when one of them ends"
    console.print(fitted(("place", "job", "why"), [[Text("1"), Text(ROWS[0][0]), Text(why)]], 60))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) > 2
    assert all(len(line.rstrip()) <= 60 for line in lines)
    assert "..." not in "".join(lines)
