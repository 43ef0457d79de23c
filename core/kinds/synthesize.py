"""Job kind `synthesize`: a dataset and a source model give a constructed training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, DatasetCard, JobKind
from core.errors import SpecRefused
from core.planning import dataset_card, model_card
from core.work import BLOCK, images_of, of_synthesis
from sieve.specs import ErrorsConstruction, RobustConstruction, SynthesizeSpec, UntransferableConstruction

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: SynthesizeSpec, catalogue: Catalogue) -> DatasetCard:
    """Dataset and model exist and fit each other."""
    dataset = dataset_card(catalogue, spec.dataset, "/dataset")
    fields = [("/model", spec.model)]
    fields += [(f"/further_models/{at}", ref) for at, ref in enumerate(spec.further_models)]
    if isinstance(spec.construction, UntransferableConstruction):
        fields += [(f"/construction/ensemble/{at}", ref) for at, ref in enumerate(spec.construction.ensemble)]
    for pointer, ref in fields:
        model = model_card(catalogue, ref, pointer)
        if model.shape != dataset.shape:
            raise SpecRefused(pointer, f"the model takes {model.shape} images, {spec.dataset} has {dataset.shape}")
        if model.classes != len(dataset.classes):
            raise SpecRefused(
                pointer, f"the model knows {model.classes} classes, {spec.dataset} {len(dataset.classes)}"
            )
    if isinstance(spec.construction, RobustConstruction) and len(spec.further_models) >= spec.construction.steps:
        raise SpecRefused("/further_models", "there must be a gradient for each source")
    if isinstance(spec.construction, ErrorsConstruction) and spec.further_models:
        raise SpecRefused("/further_models", "errors are those of one model")
    if spec.split == "test" and dataset.test_images == 0:
        raise SpecRefused("/split", f"{spec.dataset} has no test images")
    # How many errors the source makes is known only once it has read the images.
    made = None if isinstance(spec.construction, ErrorsConstruction) else images_of(spec, dataset)
    return DatasetCard(dataset.shape, dataset.classes, made, test_images=0)


def blocks(spec: SynthesizeSpec, catalogue: Catalogue) -> int | None:
    """Of the images that are used."""
    images = images_of(spec, dataset_card(catalogue, spec.dataset, "/dataset"))
    return None if images is None else -(-images // BLOCK)


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.synthesis import synthesize  # noqa: PLC0415

    return synthesize


ENTRY = JobKind(
    name="synthesize",
    summary="construct a robust or non-robust training set",
    spec=SynthesizeSpec,
    slot="accelerator",
    check=check,
    build=build,
    blocks=blocks,
    work=of_synthesis,
)
