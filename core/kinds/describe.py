"""Job kind `describe`: any dataset gives figures, plots and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import ARCHITECTURES, Catalogue, JobKind
from core.errors import SpecRefused
from core.planning import dataset_card, model_card
from core.registry import parse_options
from sieve.specs import DescribeSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: DescribeSpec, catalogue: Catalogue) -> None:
    """All that is named exists, and fits the dataset."""
    dataset = dataset_card(catalogue, spec.dataset, "/dataset")
    if spec.source is not None:
        source = dataset_card(catalogue, spec.source, "/source")
        if source.shape != dataset.shape:
            raise SpecRefused("/source", f"{spec.source} has {source.shape} images, {spec.dataset} {dataset.shape}")
    for at, ref in enumerate(spec.models):
        model = model_card(catalogue, ref, f"/models/{at}")
        if model.shape != dataset.shape:
            raise SpecRefused(f"/models/{at}", f"it takes {model.shape} images, {spec.dataset} has {dataset.shape}")
        if model.classes != len(dataset.classes):
            raise SpecRefused(f"/models/{at}", f"it knows {model.classes} classes, not {len(dataset.classes)}")
    trial = spec.rounding
    if trial is not None:
        entry = ARCHITECTURES.get(trial.architecture.name, "/rounding/architecture/name")
        options = parse_options(entry.options, trial.architecture.options, "/rounding/architecture/options")
        try:
            entry.check(options, dataset.shape)
        except SpecRefused as refused:
            raise refused.under("/rounding/architecture/options") from None
        if dataset.train_images is not None and dataset.train_images < 2 * trial.batch_size:
            raise SpecRefused("/rounding/batch_size", f"{spec.dataset} has only {dataset.train_images} images")
        if trial.crop_padding >= min(dataset.shape[1:]):
            raise SpecRefused("/rounding/crop_padding", f"must be less than height and width of {dataset.shape} images")


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.description import describe  # noqa: PLC0415

    return describe


ENTRY = JobKind(
    name="describe",
    summary="describe a dataset: balance, pixels, spectrum, distances, neighbours, who reads its labels",
    spec=DescribeSpec,
    slot="accelerator",
    check=check,
    build=build,
)
