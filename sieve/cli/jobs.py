"""`sieve jobs`, `show`, `logs`, `queue`, what owners do to jobs: `cancel`, `pause`, `resume`, `retry`, `delete`."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
from rich.text import Text

from sieve.cli.completion import complete_any, complete_job
from sieve.cli.lineage import show_made
from sieve.cli.terminal import Terminal, ago, duration, state_text, with_terminal
from sieve.job import Job
from sieve.objects import Child


@click.command()
@click.option("--state", help="Such as running; several with commas between.")
@click.option("--kind", help="Such as train; several with commas between.")
@click.option("--owner", help="Name of a user.")
@click.option("--label", help="KEY=VALUE.")
@click.option("--study", metavar="JOB", help="Jobs of this study.")
@click.option("--shared", is_flag=True, help="What anybody shares with the lab, instead of your own.")
@click.option("--all", "every", is_flag=True, help="Also the jobs that are part of a study.")
@click.option("--limit", "-n", default=20, show_default=True, help="At most this many.")
@with_terminal
def jobs(
    terminal: Terminal,
    *,
    state: str | None,
    kind: str | None,
    owner: str | None,
    label: str | None,
    study: str | None,
    shared: bool,
    every: bool,
    limit: int,
) -> None:
    """List jobs, newest first."""
    with terminal.client() as client:
        within = study or (None if every else "none")
        found = client.jobs(state=state, kind=kind, owner=owner, label=label, study=within, shared=shared, limit=limit)
        terminal.rows(
            found,
            ("id", "kind", "name", "state", "progress", "owner", "age"),
            lambda job: (
                job.id,
                job.kind,
                job.name,
                state_text(job.state),
                _progress(job),
                job.owner,
                ago(job.created_at),
            ),
            spare=("owner", "age", "progress", "kind", "name"),
        )


@click.command()
@click.argument("id_", metavar="ID", shell_complete=complete_any)
@click.option("--lineage", is_flag=True, help="Of a dataset or model: all that it was made of, to the beginning.")
@with_terminal
def show(terminal: Terminal, id_: str, lineage: bool) -> None:
    """Show a job (job_…): where it stands, why, and what came of it; or a dataset (ds_…) or model (mdl_…)."""
    with terminal.client() as client:
        if not id_.startswith("job_"):
            show_made(terminal, client, id_, lineage=lineage)
            return
        job = client.job(id_)
        if lineage:
            if not job.outputs:
                raise click.UsageError(f"{id_} has made no dataset or model: there is no lineage to show")
            for made in job.outputs.values():
                show_made(terminal, client, made, lineage=True)
            return
    if terminal.json:
        terminal.values(job.to_dict())
    elif terminal.quiet:
        terminal.say(job.state)
    else:
        _describe(terminal, job)


@click.command()
@click.argument("job_id", metavar="JOB", shell_complete=complete_job)
@click.option("--follow", "-f", is_flag=True, help="Stay, and print new lines as they come, until the job has ended.")
@with_terminal
def logs(terminal: Terminal, job_id: str, follow: bool) -> None:
    """Print a job's log; as JSON, an object a line with its time."""
    with terminal.client() as client:
        job = client.job(job_id)
        if not (follow or terminal.json):
            for line in job.logs():
                click.echo(line)
            return
        for event in job.stream() if follow else job.events():
            if event.type == "log":
                said = event.data.get("message", "")
                click.echo(json.dumps({"at": event.at, "message": said}, default=str) if terminal.json else said)


@click.command()
@with_terminal
def queue(terminal: Terminal) -> None:
    """Show the jobs that wait, in the order in which they will start."""
    with terminal.client() as client:
        waiting = client.queue()
    terminal.rows(
        waiting,
        ("place", "job", "kind", "owner", "priority", "waits", "why"),
        lambda row: (
            row["place"] or "-",
            row["job"],
            row["kind"],
            row["owner"],
            str(row["priority"]),
            duration(row["waiting_seconds"]),
            row["reason"],
        ),
        spare=("waits", "kind", "priority", "owner", "why"),
    )


def _verb(name: str, help_text: str, act: Callable[[Job], Job]) -> click.Command:
    @click.command(name, help=help_text)
    @click.argument("job_ids", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_job)
    @with_terminal
    def command(terminal: Terminal, job_ids: tuple[str, ...]) -> None:
        with terminal.client() as client:
            asked = [act(client.job(job_id)) for job_id in job_ids]
        terminal.rows(asked, ("id", "state"), lambda job: (job.id, state_text(job.state)))

    return command


cancel = _verb("cancel", "End jobs; of a study, all its jobs.", Job.cancel)
pause = _verb("pause", "Let jobs stop at their next checkpoint.", Job.pause)
resume = _verb("resume", "Let paused jobs go on from their checkpoints.", Job.resume)
retry = _verb("retry", "Queue jobs again that failed or were cancelled.", Job.retry)


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_job)
@with_terminal
def delete(terminal: Terminal, job_ids: tuple[str, ...]) -> None:
    """Forget ended jobs with all that they made; of a study, all its jobs."""
    with terminal.client() as client:
        for job_id in job_ids:
            client.job(job_id).delete()
            if not (terminal.json or terminal.quiet):
                terminal.say(f"{job_id} is deleted")
    if terminal.json:
        terminal.values([{"id": job_id, "deleted": True} for job_id in job_ids])
    elif terminal.quiet:
        terminal.say("\n".join(job_ids))


def _describe(terminal: Terminal, job: Job) -> None:
    head = Text(f"{job.id}  {job.kind}  {job.name}  ")
    terminal.say(head + state_text(job.state))
    if job.status_reason:
        terminal.say(f"  {job.status_reason.message}")
    if job.attention:
        terminal.say(Text(f"  {job.attention}", style="yellow"))
    if job.progress and not job.done:
        terminal.say(f"  {_progress(job)}")
    for label, value in (("study", job.study), ("owner", job.owner), ("created", job.created_at)):
        if value:
            terminal.say(f"  {label}: {value}")
    for what, made in job.outputs.items():
        terminal.say(f"  {what}: {made}")
    if job.children:
        terminal.say("")
        terminal.rows(
            job.children,
            ("id", "node", "state", "progress"),
            lambda child: (child.id, child.node, state_text(child.state), _progress(child)),
            spare=("progress", "id"),
        )
    if job.result and not job.is_study:
        terminal.say("")
        terminal.values(job.result)
    if job.state == "failed" and job.status_reason and job.status_reason.retryable:
        terminal.hint(f"it can be tried again: sieve retry {job.id}")
    if job.is_study and job.succeeded:
        terminal.hint(f"its report: sieve report {job.id}")


def _progress(job: Job | Child) -> str:
    progress = job.progress
    if progress is None or job.state not in ("running", "paused"):
        return ""
    left = f", {duration(progress.eta_seconds)} left" if progress.eta_seconds and job.state == "running" else ""
    return f"{progress.fraction:.0%} {progress.phase}{left}"
