"""`sieve report`, `download`, `datasets`, `models`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sieve.cli.completion import complete_any, complete_job
from sieve.cli.terminal import Terminal, ago, with_terminal
from sieve.client import Client
from sieve.objects import Artifact, Dataset, Model
from sieve.specs import FormatName


@click.command()
@click.argument("job_id", metavar="JOB", shell_complete=complete_job)
@click.option("--format", "form", type=click.Choice(["json", "md", "html"]), help="Default: md, drawn for people.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file instead of stdout.")
@with_terminal
def report(terminal: Terminal, job_id: str, form: str | None, output: Path | None) -> None:
    """Print a study's report."""
    chosen = form or ("json" if terminal.json else output.suffix[1:] if output and output.suffix else "md")
    if chosen not in ("json", "md", "html"):
        raise click.BadParameter(f"a report is json, md or html, not {chosen!r}", param_hint="--output")
    with terminal.client() as client:
        text = client.transport.ask("GET", f"/v1/jobs/{job_id}/report", params={"format": chosen}).text
    if output is not None:
        output.write_text(text, encoding="utf-8")
        terminal.hint(f"written to {output}")
    elif chosen == "md" and form is None and terminal.out.is_terminal:
        from rich.markdown import Markdown  # noqa: PLC0415 - slow to import, and needed here alone

        terminal.out.print(Markdown(text))
    else:
        click.echo(text)


@click.command()
@click.argument("id_", metavar="ID", shell_complete=complete_any)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--role", type=click.Choice(["model", "dataset", "report", "picture", "data"]), help="Of a job: only these."
)
@click.option("--format", "form", type=click.Choice(get_args(FormatName)), default="safetensors", help="Of a dataset.")
@with_terminal
def download(terminal: Terminal, id_: str, folder: Path, role: str | None, form: FormatName) -> None:
    """Download a job's files (job_…), a dataset (ds_…) or a model (mdl_…) into FOLDER.

    What is there already is not fetched again, and what was interrupted goes on where it stopped. A dataset that was
    not exported in this format before is exported first.
    """
    with terminal.client() as client:
        if id_.startswith("ds_") and form != "safetensors":
            id_, role = _exported(terminal, client.dataset(id_), form), "data"
        files = _files(client, id_, role)
        if not files:
            terminal.hint("it has made no such files")
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        shown = not (terminal.quiet or terminal.json)
        with Progress(*columns, console=terminal.err, transient=True, disable=not shown) as bars:
            fetched = [_fetched(bars, name, file, folder / name) for name, file in files]
    if terminal.json:
        terminal.values([str(path) for path in fetched])
    else:
        for path in fetched:
            click.echo(path)


@click.command()
@click.option("--limit", "-n", default=50, show_default=True, help="At most this many.")
@with_terminal
def datasets(terminal: Terminal, limit: int) -> None:
    """List the datasets that jobs can name."""
    with terminal.client() as client:
        terminal.rows(
            client.datasets(limit=limit),
            ("id", "source", "shape", "classes", "train", "test", "what"),
            lambda row: (
                row.id,
                row.source,
                "x".join(map(str, row.shape)),
                len(row.classes),
                row.train_images,
                row.test_images,
                row.summary or row.job,
            ),
            spare=("what", "source", "test", "shape", "train"),
        )


@click.command()
@click.option("--limit", "-n", default=50, show_default=True, help="At most this many.")
@with_terminal
def models(terminal: Terminal, limit: int) -> None:
    """List trained models, newest first."""
    with terminal.client() as client:
        terminal.rows(
            client.models(limit=limit),
            ("id", "architecture", "shape", "classes", "job", "age"),
            lambda row: (
                row.id,
                row.architecture,
                "x".join(map(str, row.shape)),
                row.classes,
                row.job,
                ago(row.created_at),
            ),
            spare=("job", "age", "shape", "classes"),
        )


def _fetched(bars: Progress, name: str, file: Artifact | Dataset | Model, target: Path) -> Path:
    bar = bars.add_task(name, total=file.size)
    path = file.download(target, progress=lambda there, total: bars.update(bar, completed=there, total=total))
    bars.remove_task(bar)
    return path


def _exported(terminal: Terminal, dataset: Dataset, form: FormatName) -> str:
    """The job that has exported the dataset; waits for it."""
    job = dataset.export(form)
    if not job.done:
        terminal.hint(f"exporting {dataset.id} as {form} ({job.id})")
    return job.wait().id


def _files(client: Client, id_: str, role: str | None) -> list[tuple[str, Artifact | Dataset | Model]]:
    """What an id stands for, each with the file name to give it."""
    if id_.startswith("job_"):
        job = client.job(id_)
        return [(job.path_of(artifact), artifact) for artifact in job.artifacts() if role in (None, artifact.role)]
    made = client.model(id_) if id_.startswith("mdl_") else client.dataset(id_)
    if made.sha256 is None:
        raise click.UsageError(f"{id_} is no file: only what a job made, or was uploaded, can be downloaded")
    return [(f"{made.id}.safetensors", made)]
