"""Synthesis: a dataset and a source model give a constructed training set.

Blocks of 256 images are the unit of work. Every draw is a function of (seed, purpose, block), and checkpoints lie
between blocks, so a resumed synthesis gives the same bits on a CPU, and so does one whose blocks were shared out
(`core.harvest`). Where memory runs out, a block goes through the network in parts; the figures say so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.constructions import Made, Source, errors, robust, targeted, targets
from core.context import Context, Inputs, Output, Result
from core.distributions import histogram, spread
from core.errors import SpecRefused
from core.frozen import FrozenModel
from core.harvest import WHOLE, Gathered, Harvest, Share, gathered, joined
from core.images import BLOCK, Images, Splits, blocks, open_dataset, save_dataset
from core.memory import AtOnce, parts
from core.models import load_model
from core.pictures import constructed_sheet, in_class_order, png
from core.seeding import generator
from sieve.specs import ErrorsConstruction, RobustConstruction, SynthesizeSpec, UntransferableConstruction

SURFACE = 0.95
"""A perturbation of at least this fraction of epsilon counts as at the ball's surface: clipping to [0, 1] takes a
little off."""


def synthesize(spec: SynthesizeSpec, inputs: Inputs, context: Context, *, planned: int = BLOCK) -> Result:
    """Construct a dataset, and leave it as `dataset.safetensors` with a few of its images in `sheet.png`.

    `planned` images go through the network at once, fewer where memory runs out. Where `inputs.parts` holds what the
    jobs of all shares left, that is only put together.

    Raises:
        SpecRefused: the robust construction of a dataset with a single training image; the errors of a model that
            makes none.
    """
    splits = open_dataset(spec.dataset, inputs, context.data_folder)
    if inputs.parts:
        found = gathered(inputs.parts)
    else:
        found = constructed(spec, splits, WHOLE, inputs, context, planned=planned)
    columns = dict(found.columns)
    images = Images(columns.pop("images"), columns.pop("labels"), columns)
    if not len(images):
        raise SpecRefused("/construction", f"the source misreads none of the {spec.split} images: there is no error")
    dataset, sheet = context.scratch / "dataset.safetensors", context.scratch / "sheet.png"
    save_dataset(dataset, images, splits.classes)
    sheet.write_bytes(_sheet(_base(spec, splits), images, splits.classes))
    return Result(
        figures={
            "method": spec.construction.method,
            "images": len(images),
            "classes": len(splits.classes),
            **_figures(spec, images, base=len(_base(spec, splits))),
            "at_once": found.at_once.figures(),
            "cautions": found.at_once.cautions(),
            "seconds": found.seconds,
        },
        outputs=(
            Output(dataset.name, dataset, "dataset", "application/octet-stream"),
            Output(sheet.name, sheet, "picture", "image/png"),
        ),
    )


def constructed(
    spec: SynthesizeSpec, splits: Splits, share: Share, inputs: Inputs, context: Context, *, planned: int = BLOCK
) -> Gathered:
    """A share of the blocks of the dataset's images.

    Raises:
        SpecRefused: the robust construction of a dataset with a single image.
    """
    images = _base(spec, splits).to(context.device)
    if isinstance(spec.construction, RobustConstruction) and len(images) < 2:
        raise SpecRefused("/dataset", f"the robust construction starts from another {spec.split} image: there is none")
    model = load_model(inputs.models[spec.model.name]).to(context.device)
    others = spec.construction.ensemble if isinstance(spec.construction, UntransferableConstruction) else ()
    ensemble = [load_model(inputs.models[ref.name]).to(context.device) for ref in others]
    further = [load_model(inputs.models[ref.name]).to(context.device) for ref in spec.further_models]
    source = Source(
        model,
        FrozenModel(model, spec.precision),
        tuple((other, FrozenModel(other, spec.precision)) for other in ensemble),
        further=tuple(FrozenModel(one, spec.precision) for one in further),
    )
    if left := source.view.left_to_autograd:
        context.log(f"Gradients through {', '.join(left)} are autograd's: no fused operation stands for them.")
    at_once = AtOnce(planned)
    numbers = share.among(len(blocks(len(images))))
    harvest = Harvest(context, at_once, steps=len(numbers))
    for done in range(harvest.step, len(numbers)):
        context.progress("synthesis", done, len(numbers))
        block = partial(construct, spec, source, images, number=numbers[done], classes=len(splits.classes))
        harvest.add(at_once.fitting(block, context))
        context.progress("synthesis", done + 1, len(numbers))
        harvest.safe_point(done + 1)
    return harvest.whole()


def construct(spec: SynthesizeSpec, source: Source, images: Images, at_once: int, *, number: int, classes: int) -> Made:
    """Block `number`, by the construction that the spec asks for, in parts of at most `at_once` images."""
    how = spec.construction
    block = blocks(len(images))[number]
    index = torch.arange(block.start, block.stop, device=images.labels.device)
    places = parts(slice(0, len(index)), at_once)
    if isinstance(how, RobustConstruction):
        draws = generator(spec.seed, f"start {how.start}", number)  # so many an image: the same numbers for any parts
        return joined([robust(how, source, images, index[some], draws) for some in places])
    if isinstance(how, ErrorsConstruction):
        return joined([errors(source, images, index[some]) for some in places])
    chosen = targets(how, images.labels[index], classes, generator(spec.seed, "target", number))
    return joined([targeted(how, source, images, index[some], chosen[some]) for some in places])


def _base(spec: SynthesizeSpec, splits: Splits) -> Images:
    """The images that are used."""
    return splits.train if spec.split == "train" else splits.test


def _figures(spec: SynthesizeSpec, constructed: Images, *, base: int) -> dict[str, Any]:
    """Per-image columns summed up; made of `base` images."""
    columns = constructed.columns
    if isinstance(spec.construction, ErrorsConstruction):
        return {"of_images": base, "errors": len(constructed) / base}
    figures: dict[str, Any] = {"norm": spread(columns["norm"]), "norm_histogram": histogram(columns["norm"])}
    if isinstance(spec.construction, RobustConstruction):
        return figures | {
            "feature_distance": spread(columns["feature_distance"]),
            "feature_distance_histogram": histogram(columns["feature_distance"]),
            "nearer_to_start": _fraction(columns["nearer_to_start"]),
            "source_reads_label": _fraction(columns["source_reads_label"]),
        }
    if "ensemble_right" in columns:
        figures["ensemble_right"] = columns["ensemble_right"].double().mean().item()
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


def _sheet(base: Images, constructed: Images, classes: tuple[str, ...]) -> bytes:
    """The PNG of a few images of each class: source, start, result, difference."""
    shown = constructed.select(in_class_order(constructed.columns["original_label"]))
    start = shown.columns.get("start_index")
    picture = constructed_sheet(
        source=base.batch(shown.columns["source_index"]),
        result=shown.pixels[:],
        original_labels=shown.columns["original_label"],
        labels=shown.labels,
        classes=classes,
        start=None if start is None else base.batch(start),
    )
    return png(picture)
