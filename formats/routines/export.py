"""The routine of an export."""

from __future__ import annotations

from functools import partial

from core.context import Context, Inputs, Output, Result, StoredDataset
from core.errors import SpecRefused
from core.images import is_there, load_dataset, open_dataset
from core.planning import parse
from core.rounding import effect_of_rounding
from formats.card import FORMATS, About
from formats.images import open_images
from sieve.specs import ExportSpec, SynthesizeSpec

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
    """Write the dataset as `<id><suffix>`; where the format rounds, also measure what that does to it.

    Raises:
        SpecRefused: the dataset was not constructed.
    """
    entry = FORMATS.get(spec.format)
    story = inputs.provenance[spec.dataset.name]
    stored = inputs.datasets[spec.dataset.name]
    assert isinstance(stored, StoredDataset)
    images = open_images(stored.path)
    made_by = parse(story["spec"])
    if not isinstance(made_by, SynthesizeSpec):
        raise SpecRefused("/dataset", f"{spec.dataset} was uploaded: only constructed datasets are exported")
    title, method = _WORDS[made_by.construction.method]
    about = About(
        name=story["dataset"],
        title=f"Images of {made_by.dataset}, {title}",
        method=method,
        provenance={name: value for name, value in story.items() if name != "dataset"},
    )
    target = context.scratch / f"{about.name}{entry.suffix}"
    entry.write(images, about, target, lambda done: context.progress("writing", done, len(images)))
    figures = {"format": entry.name, "images": len(images), "bytes": target.stat().st_size, "exact": entry.exact}
    if not entry.exact and is_there(made_by.dataset, inputs) and made_by.model.name in inputs.models:
        origin = open_dataset(made_by.dataset, inputs, context.data_folder)
        constructed = load_dataset(stored.path).train
        tick = partial(_tell, context, len(images))
        figures["rounding"] = effect_of_rounding(made_by, inputs, origin, constructed, tick)
    elif not entry.exact:
        context.log("what rounding does was not measured: the dataset or model that it was made of is no longer there")
    return Result(figures=figures, outputs=(Output(target.name, target, "data", entry.media_type),))


def _tell(context: Context, total: int, done: int) -> None:
    context.progress("judging what 8 bits do", done, total)
