"""What jobs made: a dataset as the sheet of pictures that its job left, a model as its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sieve.errors import SieveError
from sieve.notebook import markup, plots
from sieve.notebook.cards import figures

if TYPE_CHECKING:
    from sieve.job import Job
    from sieve.objects import Dataset, Model


def dataset_sheet(dataset: Dataset) -> str:
    """The HTML of a dataset."""
    shape = "x".join(map(str, dataset.shape))
    classes = ", ".join(dataset.classes[:12]) + (f", ... ({len(dataset.classes)})" if len(dataset.classes) > 12 else "")
    said = [
        markup.heading(dataset.summary or "dataset", dataset.id),
        markup.facts(
            [
                ("images", f"{shape}, values in [0, 1]"),
                ("training", dataset.train_images),
                ("test", dataset.test_images),
                ("classes", classes),
                ("made by", dataset.job),
            ]
        ),
    ]
    try:
        data = dataset.picture()
    except SieveError as error:
        said.append(markup.small(f"its pictures cannot be had now: {error}"))
    else:
        if data is not None:
            said.append(markup.png(data, f"some images of {dataset.id}"))
    return markup.box(*said)


def model_figures(model: Model) -> str:
    """The HTML of a model."""
    said: list[tuple[str, object]] = [
        ("takes", "x".join(map(str, model.shape)) + ", values in [0, 1]"),
        ("classes", model.classes),
        ("weights", f"{model.size:,} bytes"),
        ("made by", model.job),
    ]
    below = ""
    try:
        job = model.made_by()
        if job is not None:
            said += figures(job.result or {})
            below = _curves(job)
    except SieveError as error:
        below = markup.small(f"its figures cannot be had now: {error}")
    return markup.box(markup.heading(model.architecture or "model", model.id), markup.facts(said), below)


def _curves(job: Job) -> str:
    """Loss, and accuracies on the images held out for validation, over the epochs."""
    curves = job.metrics()
    loss = [plots.Line(name, curve) for name, curve in curves.items() if name == "loss"]
    read = [
        plots.Line(name.replace("_", ", "), [(step, 100 * value) for step, value in curve])
        for name, curve in curves.items()
        if name.startswith("validation")
    ]
    drawn = [plots.lines(loss, x="epoch", y="loss"), plots.lines(read, x="epoch", y="accuracy, %", y_range=(0, 100))]
    return '<div class="plots">' + "".join(f"<div>{plot}</div>" for plot in drawn if plot) + "</div>"
