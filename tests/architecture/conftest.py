"""Prints how long the project's files are, at the end of a run."""

from __future__ import annotations

import statistics

import pytest

from tests.architecture.sources import PACKAGES, ROOT, modules


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One paragraph: a report, not a test."""
    lengths = {
        path: len(path.read_text().splitlines())
        for package in (*PACKAGES, "migrations", "tests")
        for _, path in modules(package)
    }
    lengths = {path: lines for path, lines in lengths.items() if lines}
    longest = sorted(lengths, key=lambda path: lengths[path], reverse=True)[:8]
    terminalreporter.section("file lengths")
    terminalreporter.write_line(
        f"{len(lengths)} files, {sum(lengths.values())} lines, median {statistics.median(lengths.values()):.0f}; "
        + "longest: "
        + ", ".join(f"{path.relative_to(ROOT)} {lengths[path]}" for path in longest)
    )
