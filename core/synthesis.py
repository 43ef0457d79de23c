"""Synthesis: a dataset and a source model give a constructed training set.

Blocks of 256 images are the unit of work. Every draw is a function of (seed, purpose, block), and checkpoints lie
between blocks, so a resumed synthesis gives the same bits on a CPU. Where memory runs out, a block goes through the
network in parts; the figures say so.
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
from core.images import BLOCK, Images, Splits, blocks, open_dataset, save_dataset
from core.memory import AtOnce, parts
from core.models import load_model
from core.pictures import constructed_sheet, in_class_order, png
from core.seeding import generator
from sieve.specs import RobustConstruction, SynthesizeSpec

SURFACE = 0.95
"""A perturbation of at least this fraction of epsilon counts as at the ball's surface: clipping to [0, 1] takes a
little off."""


def synthesize(spec: SynthesizeSpec, inputs: Inputs, context: Context, *, planned: int = BLOCK) -> Result:
    """Construct a dataset, and leave it as `dataset.safetensors` with a few of its images in `sheet.png`.

    `planned` images go through the network at once, fewer where memory runs out.

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

    at_once = AtOnce(planned)
    checkpoint = context.resume()
    done: list[Mapping[str, Tensor]] = []
    if checkpoint is not None:
        done.append(checkpoint.tensors)
        at_once.restore(checkpoint.values)
    total = len(blocks(len(images)))
    for number in range(0 if checkpoint is None else checkpoint.step, total):
        context.progress("synthesis", number, total)
        block = partial(construct, spec, source, images, number=number, classes=len(splits.classes))
        made = at_once.fitting(block, context)
        done.append({name: tensor.cpu() for name, tensor in made.items()})
        context.progress("synthesis", number + 1, total)
        context.safe_point(number + 1, partial(_checkpoint, number + 1, done, at_once))

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
            "at_once": at_once.figures(),
            "cautions": at_once.cautions(),
            "seconds": time.monotonic() - began,
        },
        outputs=(
            Output(dataset.name, dataset, "dataset", "application/octet-stream"),
            Output(sheet.name, sheet, "picture", "image/png"),
        ),
    )


def construct(spec: SynthesizeSpec, source: Source, images: Images, at_once: int, *, number: int, classes: int) -> Made:
    """Block `number`, by the construction that the spec asks for, in parts of at most `at_once` images."""
    how = spec.construction
    block = blocks(len(images))[number]
    index = torch.arange(block.start, block.stop, device=images.labels.device)
    places = parts(slice(0, len(index)), at_once)
    if isinstance(how, RobustConstruction):
        draws = generator(spec.seed, "start image", number)  # one a image: the same numbers for any parts
        return _joined([robust(how, source, images, index[some], draws) for some in places])
    chosen = targets(how, images.labels[index], classes, generator(spec.seed, "target", number))
    return _joined([targeted(how, source, images, index[some], chosen[some]) for some in places])


def _joined(done: Sequence[Mapping[str, Tensor]]) -> Made:
    return {name: torch.cat([made[name] for made in done]) for name in done[0]}


def _checkpoint(step: int, done: Sequence[Mapping[str, Tensor]], at_once: AtOnce) -> Checkpoint:
    return Checkpoint(step, _joined(done), at_once.values())


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
