"""`make demo`: the paper's study through a service of its own, over REST, from nothing to its table and files.

Left in `out/demo`: report.json (with the seconds from submission to report), report.md, report.html, the constructed
datasets, every model, the picture sheets, SHA256SUMS, and the service's data folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from core import tables
from core.wording import said_once
from local.errors import LocalError
from local.home import CHECKOUT, Home
from local.postgres import Postgres
from local.service import Service
from local.supervise import TICK
from sieve import Client
from sieve.cli.terminal import Terminal
from sieve.cli.watch import follow
from sieve.job import Job
from sieve.objects import Artifact

DEFAULT_OUT = CHECKOUT / "out" / "demo"

PLACES = {"model": "models/{row}.safetensors", "dataset": "datasets/{row}.safetensors", "picture": "sheets/{row}.png"}
"""Where a file of a role goes; the report's own files keep their names."""


def demo(dataset: str, seed: int, out: Path) -> None:
    """Run the study of the preset `dataset` and leave what it made in `out`, which is emptied first.

    Raises:
        LocalError: a demo runs in `out` already, or something did not start.
        SieveError: the study was refused, or did not succeed.
    """
    began = time.monotonic()
    _reach_ourselves_directly()
    home = Home(out / "data")
    if not home.hold():
        raise LocalError(f"a demo runs in {out} already")
    with home:
        _empty(out, home)
        service = Service(home, say=click.echo)
        service.start()
        click.echo(
            f"the service is up on {service.url} after {time.monotonic() - began:.1f} s; its files are in {home.path}"
        )
        try:
            _while_tended(service, lambda: _study(service, dataset, seed, out))
        finally:
            service.stop(drain_seconds=5)
    click.echo(f"everything is in {out}; the service has stopped; {time.monotonic() - began:.0f} s in all")
    click.echo(f"to look around in it: make up SIEVE_HOME={home.path}")


def _study(service: Service, dataset: str, seed: int, out: Path) -> None:
    terminal = Terminal(service.url, service.key)
    with terminal.client() as client:
        job = client.submit({"kind": "study", "preset": dataset, "seeds": [seed]}, name=f"{dataset}, seed {seed}")
        click.echo(f"submitted {job.id}: 2 source models, 4 constructed datasets, a model trained on each, all judged")
        follow(terminal, job)
        job.refresh()
        assert job.finished_at is not None
        assert job.created_at is not None
        seconds = (job.finished_at - job.created_at).total_seconds()
        report = _fetch(client, job, out, seconds)
    _show(report)
    click.echo(f"{seconds:.1f} s from submission to report")


def _fetch(client: Client, job: Job, out: Path, seconds: float) -> dict[str, Any]:
    """Download what the study made; gives the report with its seconds."""
    report: dict[str, Any] = {**job.report(), "seconds": round(seconds, 1)}
    (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    for form in ("md", "html"):
        (out / f"report.{form}").write_text(client.report(job, form))
    fetched = [
        artifact.download(out / place) for artifact in job.artifacts() if (place := _place(artifact)) is not None
    ]
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(out)}\n" for path in fetched]
    (out / "SHA256SUMS").write_text("".join(sorted(sums, key=lambda line: line.split("  ")[1])))
    return report


def _place(artifact: Artifact) -> str | None:
    """Where an artifact goes, below `out`; None for what the report sums up."""
    node = artifact.node or ""
    if node == "report":
        return f"sheets/{artifact.name}" if artifact.role == "picture" else None
    return PLACES[artifact.role].format(row=node.rpartition("/")[2]) if artifact.role in PLACES else None


def _show(report: dict[str, Any]) -> None:
    """The result table beside the published one, narrow enough for any terminal; intervals are in the report."""
    published = tables.published_table(report)
    theirs = {row[0]: row[1:] for row in published.rows}
    epsilons = list(report["rows"][0]["robust"])
    table = Table(caption=published.note, caption_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("trained on", no_wrap=True)
    for title in ("standard", *(f"eps {epsilon}" for epsilon in epsilons)):
        table.add_column(title, justify="right", no_wrap=True)
    for title in published.columns[1:]:
        table.add_column(title.replace("l2 ", ""), justify="right", no_wrap=True, style="dim")
    for row in report["rows"]:
        ours = (row["standard"], *(row["robust"][epsilon] for epsilon in epsilons))
        beside = theirs.get(row["name"], ("",) * (len(published.columns) - 1))
        table.add_row(row["name"], *map(tables.number, ours), *(cell.replace(" – ", "–") for cell in beside))
    console = Console(highlight=False)
    images = report["rows"][0]["n_images"]
    console.print(f"\nLeft: {report['dataset']}, accuracy in % on {images} test images, {report['norm']} attacks.")
    console.print(f"Right: published, {published.title}.\n")
    console.print(table)
    for said, whose in said_once(report["cautions"]):
        console.print(f"Caution, {whose}: {said}")


def _empty(out: Path, home: Home) -> None:
    """Remove what an earlier demo left: no result may be an old one."""
    if home.postgres.exists():
        Postgres(home.postgres, log=home.logs / "postgres.log").remove()
    for path in [*out.iterdir(), *home.path.iterdir()]:
        if path == home.path or path.name == "lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _while_tended(service: Service, work: Callable[[], None]) -> None:
    """Do `work` in a thread while this one, which started the processes, looks after them."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        service.tend()
        thread.join(TICK)
    if raised:
        raise raised[0]


def _reach_ourselves_directly() -> None:
    """A proxy that the environment names is no way to this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))
