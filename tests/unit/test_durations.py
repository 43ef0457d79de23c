"""Stretches of time on the command line."""

from __future__ import annotations

import click
import pytest

from sieve.cli.submit import Duration


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("3d", 259200)])
def test_times_have_units(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "soon", "2w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 90, 30m"):
        Duration().convert(text, None, None)
