"""The routine of an export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.context import Context, Inputs, Output, Result, StoredDataset
from core.errors import SpecRefused
from core.images import is_there, load_dataset, open_dataset
from core.planning import parse
from core.rounding import distance_of_rounding, effect_of_rounding
from formats.arrivals import shown
from formats.card import FORMATS, About
from formats.images import open_images
from sieve.specs import ExportSpec, IngestSpec, Spec, SynthesizeSpec

_WORDS = {
    "robust": (
        "with the features that a model reads in other images",
        "Each image started as another one, and was moved until the source model's penultimate features of it were "
        "those of the image whose label it bears.",
    ),
    "random_target": (
        "perturbed towards classes drawn at random",
        "Each image was moved, within a ball around it, towards a class drawn at random, and bears that label.",
    ),
    "deterministic_target": (
        "perturbed towards the class after their own",
        "Each image was moved, within a ball around it, towards the class after its own, and bears that label.",
    ),
    "untransferable": (
        "perturbed so that the source model is fooled and others are not",
        "Each image was moved, within a ball around it, until the source model reads the label that it bears and the "
        "models of an ensemble still read its own.",
    ),
    "errors": (
        "that a model misreads, labelled as it reads them",
        "The images are unchanged; each is one that the source model misreads, and bears the label that it reads.",
    ),
}
"""Of each construction: title and method."""


def export(spec: ExportSpec, inputs: Inputs, context: Context) -> Result:
    """Write the dataset as `<id><suffix>`; where the format rounds its pixels, also measure what that does to it.

    Raises:
        SpecRefused: it is a registered folder, that no job made.
    """
    entry = FORMATS.get(spec.format)
    stored = inputs.datasets[spec.dataset.name]
    if not isinstance(stored, StoredDataset):
        raise SpecRefused("/dataset", f"{spec.dataset} is a folder of this server: only what a job made is exported")
    images = open_images(stored.path)
    about = _about(inputs.provenance[spec.dataset.name])
    suffix, media_type = entry.kind(images)
    target = context.scratch / f"{about.name}{suffix}"
    entry.write(images, about, target, _Counted(context, "writing", len(images)))
    figures = {
        "format": entry.name,
        "images": len(images),
        "bytes": target.stat().st_size,
        "exact": entry.keeps(images),
        **({"train_images": len(images.train), "test_images": len(images.test)} if images.test else {}),
    }
    if not entry.keeps(images):
        figures["rounding"] = _rounding(parse(inputs.provenance[spec.dataset.name]["spec"]), stored, inputs, context)
    return Result(figures=figures, outputs=(Output(target.name, target, "data", media_type),))


class _Counted:
    """Tells the context what a format tells it."""

    def __init__(self, context: Context, phase: str, total: int) -> None:
        self._context, self._phase, self._total, self._done = context, phase, total, 0

    def __call__(self, images: int) -> None:
        self._done += images
        self._context.progress(self._phase, self._done, self._total)


def _about(story: Mapping[str, Any]) -> About:
    """What is said of a dataset, by the job that made it."""
    made_by = parse(story["spec"])
    if isinstance(made_by, SynthesizeSpec):
        title, method = _WORDS[made_by.construction.method]
        title = f"Images of {made_by.dataset}, {title}"
    elif isinstance(made_by, IngestSpec):
        names = [shown(name).replace("`", "'") for name in story.get("names", {}).values()]
        title, method = " ".join(["Uploaded images", *(f"({name})" for name in names)]), _taken_in(made_by)
    else:
        title, method = f"Images that a job of kind {story['spec']['kind']} made", "See the spec below."
    told = {name: value for name, value in story.items() if name != "dataset"}
    return About(story["dataset"], title, method, told, constructed=isinstance(made_by, SynthesizeSpec))


def _taken_in(spec: IngestSpec) -> str:
    """What an ingest did to what it was given."""
    said = ["Images and labels are those of a file that was uploaded."]
    if spec.size is not None:
        height, width = spec.size
        said.append(
            f"Those of other sizes were scaled, bicubic, until they covered {height} x {width} pixels, and cut to that "
            "around their middle."
        )
    if spec.test_fraction:
        said.append(
            f"If it had no test images of its own, {spec.test_fraction:.3g} of each class was set aside for testing, "
            f"drawn by seed {spec.seed}."
        )
    return " ".join(said)


def _rounding(made_by: Spec, stored: StoredDataset, inputs: Inputs, context: Context) -> dict[str, Any]:
    """What 8 bits do: to pixels; of a constructed dataset also to perturbations, and to what its source model reads."""
    splits = load_dataset(stored.path)

    def tick(done: int) -> None:
        context.progress("judging what 8 bits do", done, len(splits.train) + len(splits.test))

    if not isinstance(made_by, SynthesizeSpec):
        return distance_of_rounding(splits, tick)
    if is_there(made_by.dataset, inputs) and made_by.model.name in inputs.models:
        origin = open_dataset(made_by.dataset, inputs, context.data_folder)
        return effect_of_rounding(made_by, inputs, origin, splits.train, tick)
    context.log("what rounding does was measured on pixels alone: the dataset or model that it was made of is gone")
    return distance_of_rounding(splits, tick)
