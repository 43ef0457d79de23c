"""`sieve upload`: a dataset of images, or a model of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sieve.cli.options import spec_options, spec_values
from sieve.cli.terminal import Terminal, with_terminal
from sieve.client import Client
from sieve.job import Job
from sieve.sending import holds_model
from sieve.specs import IngestModelSpec, IngestSpec

_OF_IMAGES = ("size", "test_fraction", "seed")
_OF_WEIGHTS = (
    *("architecture__name", "architecture__options", "dataset__name", "dataset__options"),
    *("shape", "classes", "mean", "std"),
)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@with_terminal
def upload(terminal: Terminal, path: Path, **fields: Any) -> None:
    """Make a dataset of an image folder, or of a zip, tar, parquet, npz or safetensors file; or a model of weights.

    Prints the id. A folder with the files CIFAR_ims and CIFAR_lab is taken for a dataset as the authors of the paper
    published theirs. With --architecture, or where the service wrote it, a safetensors file holds weights.
    """
    given = spec_values(fields)
    of_weights = sorted({name.partition("__")[0] for name in _OF_WEIGHTS} & given.keys())
    of_images = sorted(set(_OF_IMAGES) & given.keys())
    weights = "architecture" in given or holds_model(path)
    if (wrong := of_images if weights else of_weights) and not (weights and not of_images):
        what = "weights" if weights else "images: weights want an --architecture"
        raise click.UsageError(f"--{wrong[0].replace('_', '-')} says nothing of {what}")
    if "size" in given:
        given["size"] = tuple(given["size"])
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with terminal.client() as client:
        with Progress(*columns, console=terminal.err, transient=True, disable=terminal.quiet or terminal.json) as bars:
            bar = bars.add_task(path.name, total=None)

            def progress(there: int, total: int) -> None:
                bars.update(bar, completed=there, total=total)

            ingest = client.ingest_model if weights else client.ingest
            job: Job = ingest(path, progress=progress, **given)
        terminal.hint(f"reading it: {job.id}")
        _say(terminal, client, job.wait())


def _say(terminal: Terminal, client: Client, job: Job) -> None:
    """What came of it."""
    result = job.result or {}
    if "model" in job.outputs:
        model = client.model(job.outputs["model"])
        if terminal.json:
            terminal.values(model.to_dict())
            return
        shape = "x".join(map(str, model.shape))
        terminal.hint(f"{model.architecture}, {result['parameters']:,} parameters, {shape}, {model.classes} classes")
        if judged := result.get("standard"):
            share, images = judged["accuracy"], judged["images"]
            terminal.hint(f"reads {share:.1%} of {images} test images")
        terminal.say(model.id)
        return
    dataset = client.dataset(job.outputs["dataset"])
    if terminal.json:
        terminal.values(dataset.to_dict())
        return
    shape = "x".join(map(str, dataset.shape))
    terminal.hint(f"{dataset.train_images} + {dataset.test_images} images {shape}, {len(dataset.classes)} classes")
    for name in ("resized", "duplicates", "duplicates_across_splits", "duplicates_with_other_labels"):
        if result.get(name):
            terminal.hint(f"  {result[name]} {name.replace('_', ' ')}")
    terminal.say(dataset.id)


def _options() -> list[click.Parameter]:
    """Of both specs, generated as those of `sieve submit`; `--size` takes its two numbers apart as well."""
    made: list[click.Parameter] = [
        option for option in spec_options(IngestSpec) if option.name in _OF_IMAGES and option.name != "size"
    ]
    made.append(click.Option(["--size"], nargs=2, type=int, metavar="HEIGHT WIDTH", help="Bring all images to this."))
    made += [option for option in spec_options(IngestModelSpec) if option.name in _OF_WEIGHTS]
    return made


upload.params = [*upload.params, *_options()]
