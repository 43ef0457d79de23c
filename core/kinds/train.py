"""Job kind `train`: a dataset and an architecture give a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import ARCHITECTURES, Catalogue, JobKind, ModelCard
from core.errors import SpecRefused
from core.planning import dataset_card
from core.registry import parse_options
from core.work import of_training
from sieve.specs import TrainSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: TrainSpec, catalogue: Catalogue) -> ModelCard:
    """The dataset exists, the architecture exists and takes its images, which are large enough to be cropped."""
    dataset = dataset_card(catalogue, spec.dataset, "/dataset")
    entry = ARCHITECTURES.get(spec.architecture.name, "/architecture/name")
    options = parse_options(entry.options, spec.architecture.options, "/architecture/options")
    try:
        entry.check(options, dataset.shape)
    except SpecRefused as refused:
        raise refused.under("/architecture/options") from None
    if dataset.train_images is not None and dataset.train_images < 2 * spec.batch_size:
        raise SpecRefused("/batch_size", f"{spec.dataset} has only {dataset.train_images} training images")
    if spec.crop_padding >= min(dataset.shape[1:]):
        raise SpecRefused("/crop_padding", f"must be less than the height and width of the {dataset.shape} images")
    if spec.validate_on is not None:
        judged = dataset_card(catalogue, spec.validate_on, "/validate_on")
        if (judged.shape, judged.classes) != (dataset.shape, dataset.classes):
            raise SpecRefused(
                "/validate_on", f"has other images or classes than {spec.dataset}: that was not made from it"
            )
    return ModelCard(
        shape=dataset.shape,
        classes=len(dataset.classes),
        architecture=spec.architecture,
        attacked=spec.adversary is not None,
    )


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.training import train  # noqa: PLC0415

    return train


ENTRY = JobKind(
    name="train",
    summary="train a network, plainly or adversarially",
    spec=TrainSpec,
    slot="accelerator",
    check=check,
    build=build,
    work=of_training,
)
