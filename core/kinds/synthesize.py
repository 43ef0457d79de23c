"""Job kind `synthesize`: a dataset and a source model give a constructed training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, DatasetCard, JobKind
from core.errors import SpecRefused
from core.planning import dataset_card, model_card
from core.work import BLOCK, of_synthesis
from sieve.specs import SynthesizeSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: SynthesizeSpec, catalogue: Catalogue) -> DatasetCard:
    """Dataset and model exist and fit each other."""
    dataset = dataset_card(catalogue, spec.dataset, "/dataset")
    model = model_card(catalogue, spec.model, "/model")
    if model.shape != dataset.shape:
        raise SpecRefused("/model", f"the model takes {model.shape} images, {spec.dataset} has {dataset.shape}")
    if model.classes != len(dataset.classes):
        raise SpecRefused("/model", f"the model knows {model.classes} classes, {spec.dataset} {len(dataset.classes)}")
    return DatasetCard(dataset.shape, dataset.classes, dataset.train_images, test_images=0)


def blocks(spec: SynthesizeSpec, catalogue: Catalogue) -> int | None:
    """Of the training images."""
    images = dataset_card(catalogue, spec.dataset, "/dataset").train_images
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
