"""Synthesis: a dataset and a source model give a constructed training set.

Blocks of 256 images are the unit of work. Every draw is a function of (seed, purpose, block), and checkpoints lie
between blocks, so a resumed synthesis gives the same bits on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.constructions import Made, Source, robust, targeted, targets
from core.context import Checkpoint, Context, Inputs, Output, Result
from core.distributions import histogram, spread
from core.errors import SpecRefused
from core.frozen import FrozenModel
from core.images import Images, Splits, blocks, open_dataset, save_dataset
from core.models import load_model
from core.pictures import constructed_sheet, in_class_order, png
from core.seeding import generator
from sieve.specs import RobustConstruction, SynthesizeSpec

SURFACE = 0.95
"""A perturbation of at least this fraction of epsilon counts as at the ball's surface: clipping to [0, 1] takes a
little off."""


def synthesize(spec: SynthesizeSpec, inputs: Inputs, context: Context) -> Result:
    """Construct a dataset, and leave it as `dataset.safetensors` with a few of its images in `sheet.png`.

    Raises:
        SpecRefused: the robust construction of a dataset with a single training image.
    """
    began = time.monotonic()
    splits = open_dataset(spec.dataset, inputs, context.data_folder)
    if isinstance(spec.construction, RobustConstruction) and len(splits.train) < 2:
        raise SpecRefused("/dataset", "the robust construction starts from another training image: there is none")
    images = splits.train.to(context.device)
    model = load_model(inputs.models[spec.model.name]).to(context.device)
    source = Source(model, FrozenModel(model, spec.precision))

    checkpoint = context.resume()
    done: list[Mapping[str, Tensor]] = [] if checkpoint is None else [checkpoint.tensors]
    total = len(blocks(len(images)))
    for number in range(0 if checkpoint is None else checkpoint.step, total):
        context.progress("synthesis", number, total)
        made = construct(spec, source, images, number=number, classes=len(splits.classes))
        done.append({name: tensor.cpu() for name, tensor in made.items()})
        context.progress("synthesis", number + 1, total)
        context.safe_point(number + 1, partial(_checkpoint, number + 1, done))

    columns = _joined(done)
    constructed = Images(columns.pop("images"), columns.pop("labels"), columns)
    dataset, sheet = context.scratch / "dataset.safetensors", context.scratch / "sheet.png"
    save_dataset(dataset, constructed, splits.classes)
    sheet.write_bytes(_sheet(splits, constructed))
    return Result(
        figures={
            "method": spec.construction.method,
            "images": len(constructed),
            "classes": len(splits.classes),
            **_figures(spec, constructed),
            "seconds": time.monotonic() - began,
        },
        outputs=(
            Output(dataset.name, dataset, "dataset", "application/octet-stream"),
            Output(sheet.name, sheet, "picture", "image/png"),
        ),
    )


def construct(spec: SynthesizeSpec, source: Source, images: Images, *, number: int, classes: int) -> Made:
    """Block `number`, by the construction that the spec asks for."""
    how = spec.construction
    block = blocks(len(images))[number]
    index = torch.arange(block.start, block.stop, device=images.labels.device)
    if isinstance(how, RobustConstruction):
        return robust(how, source, images, index, generator(spec.seed, "start image", number))
    chosen = targets(how, images.labels[index], classes, generator(spec.seed, "target", number))
    return targeted(how, source, images, index, chosen)


def _joined(done: Sequence[Mapping[str, Tensor]]) -> Made:
    return {name: torch.cat([made[name] for made in done]) for name in done[0]}


def _checkpoint(step: int, done: Sequence[Mapping[str, Tensor]]) -> Checkpoint:
    return Checkpoint(step, _joined(done))


def _figures(spec: SynthesizeSpec, constructed: Images) -> dict[str, Any]:
    """Per-image columns summed up."""
    columns = constructed.columns
    figures: dict[str, Any] = {"norm": spread(columns["norm"]), "norm_histogram": histogram(columns["norm"])}
    if isinstance(spec.construction, RobustConstruction):
        return figures | {
            "feature_distance": spread(columns["feature_distance"]),
            "feature_distance_histogram": histogram(columns["feature_distance"]),
            "nearer_to_start": _fraction(columns["nearer_to_start"]),
            "source_reads_label": _fraction(columns["source_reads_label"]),
        }
    success = columns["success"]
    changed = columns["target"] != columns["original_label"]
    return figures | {
        "success": _fraction(success),
        "success_where_changed": _fraction(success[changed]),
        "at_surface": _fraction(columns["norm"] >= SURFACE * spec.construction.epsilon),
        "source_reads_label": _fraction(success),  # the stored label is the target
    }


def _fraction(flags: Tensor) -> float | None:
    """Of flags [n] that are set; None of none."""
    return flags.double().mean().item() if len(flags) else None


def _sheet(splits: Splits, constructed: Images) -> bytes:
    """The PNG of a few images of each class: source, start, result, difference."""
    shown = constructed.select(in_class_order(constructed.columns["original_label"]))
    start = shown.columns.get("start_index")
    picture = constructed_sheet(
        source=splits.train.batch(shown.columns["source_index"]),
        result=shown.pixels,
        original_labels=shown.columns["original_label"],
        labels=shown.labels,
        classes=splits.classes,
        start=None if start is None else splits.train.batch(start),
    )
    return png(picture)
