"""Job kind `probe`: a linear classifier on frozen features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.errors import SpecRefused
from core.planning import dataset_card, model_card
from core.work import Work
from sieve.specs import PenultimateFeatures, ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: ProbeSpec, catalogue: Catalogue) -> None:
    """Datasets and model exist and fit each other; there are test images."""
    dataset = dataset_card(catalogue, spec.dataset, "/dataset")
    if dataset.test_images == 0:
        raise SpecRefused(
            "/dataset", f"{spec.dataset} has no test images: name the dataset that it was constructed from"
        )
    if spec.train_on is not None:
        other = dataset_card(catalogue, spec.train_on, "/train_on")
        if (other.shape, len(other.classes)) != (dataset.shape, len(dataset.classes)):
            raise SpecRefused("/train_on", f"its images or classes are not like those of {spec.dataset}")
    if isinstance(spec.features, PenultimateFeatures):
        model = model_card(catalogue, spec.features.model, "/features/model")
        if model.shape != dataset.shape:
            raise SpecRefused(
                "/features/model", f"the model takes {model.shape} images, {spec.dataset} has {dataset.shape}"
            )


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.probe import probe  # noqa: PLC0415

    return probe


ENTRY = JobKind(
    name="probe",
    summary="fit a linear classifier on frozen features, and read it on clean test images",
    spec=ProbeSpec,
    slot="accelerator",
    check=check,
    build=build,
    work=lambda _, __: Work(group="probe", network=None, seconds=5.0, unsure=4.0),
)
