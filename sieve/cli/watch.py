"""`sieve watch`: live progress bars until a job has ended."""

from __future__ import annotations

import time

import click
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from sieve.cli.terminal import Terminal, state_text, with_terminal
from sieve.errors import JobUnsuccessful
from sieve.job import Job
from sieve.objects import Child

LOOK_SECONDS = 0.5


@click.command()
@click.argument("job_id", metavar="JOB")
@with_terminal
def watch(terminal: Terminal, job_id: str) -> None:
    """Follow a job, or all running jobs of a study, until it has ended. Exits with 1 if it did not succeed."""
    with terminal.client() as client:
        follow(terminal, client.job(job_id))


def follow(terminal: Terminal, job: Job) -> None:
    """Show progress on stderr until the job has ended, then say how.

    Raises:
        JobUnsuccessful: it failed, was cancelled or was skipped.
    """
    if terminal.quiet or terminal.json:
        job.wait(check=False)
    else:
        _bars(terminal, job)
    if terminal.json:
        terminal.values(job.to_dict())
    elif not terminal.quiet:
        terminal.say(state_text(job.state))
        if job.succeeded and job.is_study:
            terminal.hint(f"its report: sieve report {job.id}")
    if not job.succeeded:
        raise JobUnsuccessful(job)


def _bars(terminal: Terminal, job: Job) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[phase]}"))
    with Progress(*columns, TimeElapsedColumn(), console=terminal.err, transient=True) as bars:
        whole = bars.add_task(job.name or job.kind, total=1.0, phase=job.state)
        running: dict[str, TaskID] = {}
        while True:
            _draw(bars, whole, job)
            for child in job.children:
                _draw_child(bars, running, child)
            if job.done:
                return
            time.sleep(LOOK_SECONDS)
            job.refresh()


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
