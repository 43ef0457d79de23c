"""Job kind `evaluate`: a model and a dataset's test images give figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.errors import SpecRefused
from core.planning import check_attacks, dataset_card, model_card
from core.work import BLOCK, of_evaluation
from sieve.specs import EvaluateSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: EvaluateSpec, catalogue: Catalogue) -> None:
    """Datasets, model and attacks exist and fit each other; the dataset has test images."""
    model = model_card(catalogue, spec.model, "/model")
    fields = [("/dataset", spec.dataset)] + [(f"/readings/{i}", ref) for i, ref in enumerate(spec.readings)]
    for pointer, ref in fields:
        dataset = dataset_card(catalogue, ref, pointer)
        if dataset.shape != model.shape:
            raise SpecRefused(pointer, f"{ref} has {dataset.shape} images, the model takes {model.shape}")
        if len(dataset.classes) != model.classes:
            raise SpecRefused(pointer, f"{ref} has {len(dataset.classes)} classes, the model knows {model.classes}")
        if pointer == "/dataset" and dataset.test_images == 0:
            raise SpecRefused(pointer, f"{ref} has no test images: name the dataset that it was constructed from")
    check_attacks(spec)


def blocks(spec: EvaluateSpec, catalogue: Catalogue) -> int | None:
    """Of the test images: what is attacked."""
    images = dataset_card(catalogue, spec.dataset, "/dataset").test_images
    return None if images is None else -(-images // BLOCK)


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.evaluation import evaluate  # noqa: PLC0415

    return evaluate


ENTRY = JobKind(
    name="evaluate",
    summary="measure a model: clean, under attack, under noise",
    spec=EvaluateSpec,
    slot="accelerator",
    check=check,
    build=build,
    blocks=blocks,
    work=of_evaluation,
)
