"""`sieve watch`: live progress bars until a job has ended."""

from __future__ import annotations

import time

import click
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from sieve.cli.completion import complete_job
from sieve.cli.durations import Duration
from sieve.cli.terminal import Terminal, state_text, with_terminal
from sieve.errors import JobUnsuccessful, WaitTimeout
from sieve.job import PATIENCE, Job
from sieve.objects import Child

LOOK_SECONDS = 0.5
WIDE = 60
"""Characters of a terminal that also shows the time."""


@click.command()
@click.argument("job_id", metavar="JOB", shell_complete=complete_job)
@click.option(
    "--timeout", type=Duration(), help="Stop watching after this time, with exit code 5: 10m. The job goes on."
)
@with_terminal
def watch(terminal: Terminal, job_id: str, timeout: float | None) -> None:
    """Follow a job, or all running jobs of a study, until it has ended. Exits with 1 if it did not succeed."""
    with terminal.client() as client:
        follow(terminal, client.job(job_id), timeout)


def follow(terminal: Terminal, job: Job, timeout: float | None = None) -> None:
    """Show progress on stderr until the job has ended, then say how.

    Raises:
        JobUnsuccessful: it failed, was cancelled or was skipped.
        WaitTimeout: it has not ended within `timeout` seconds.
    """
    try:
        if terminal.quiet or terminal.json:
            job.wait(timeout, check=False)
        else:
            _bars(terminal, job, timeout)
    except KeyboardInterrupt:
        terminal.hint(f"{job.id} goes on; watch it again: sieve watch {job.id}; or end it: sieve cancel {job.id}")
        raise
    if terminal.json:
        terminal.values(job.to_dict())
    elif not terminal.quiet:
        terminal.say(state_text(job.state))
        if job.succeeded and job.is_study:
            terminal.hint(f"its report: sieve report {job.id}")
    if not job.succeeded:
        raise JobUnsuccessful(job)


def _bars(terminal: Terminal, job: Job, timeout: float | None) -> None:
    until = None if timeout is None else time.monotonic() + timeout
    with Progress(*_columns(terminal.err.width), console=terminal.err, transient=True) as bars:
        whole = bars.add_task(job.name or job.kind, total=1.0, phase=job.state)
        running: dict[str, TaskID] = {}
        while True:
            _draw(bars, whole, job)
            for child in job.children:
                _draw_child(bars, running, child)
            if job.done:
                return
            if until is not None and time.monotonic() >= until:
                raise WaitTimeout(job, timeout or 0)
            time.sleep(LOOK_SECONDS)
            job.refresh(patience=PATIENCE)


def _columns(width: int) -> list[ProgressColumn]:
    """Name, bar, percent and phase in a terminal of a width; where it is wide enough also the time."""
    bar = max(6, min(40, width // 4))
    left = width - bar - len(" 100% ") - 2 - (len(" 0:00:00") if width >= WIDE else 0)
    columns: list[ProgressColumn] = [_words("{task.description}", left * 3 // 5), BarColumn(bar), TaskProgressColumn()]
    columns.append(_words("{task.fields[phase]}", left - left * 3 // 5))
    return [*columns, TimeElapsedColumn()] if width >= WIDE else columns


def _words(template: str, width: int) -> TextColumn:
    """Text in one line, cut where it is too long."""
    return TextColumn(template, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", max_width=width))


def _draw(bars: Progress, bar: TaskID, job: Job | Child) -> None:
    if job.progress is not None:
        bars.update(bar, completed=job.progress.fraction, phase=job.progress.phase or job.state)
    else:
        bars.update(bar, phase=job.state)


def _draw_child(bars: Progress, running: dict[str, TaskID], child: Child) -> None:
    """A bar for each running child; a line for each that has ended."""
    if child.state == "running":
        if child.id not in running:
            running[child.id] = bars.add_task(f"  {child.node}", total=1.0, phase="")
        _draw(bars, running[child.id], child)
    elif child.id in running:
        bars.remove_task(running.pop(child.id))
        bars.console.print(f"  {child.node} ", state_text(child.state), sep="")
