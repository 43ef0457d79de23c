"""Job kind `decode`: reads planted features back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.errors import SpecRefused
from core.planning import dataset_card, model_card
from core.work import Work
from sieve.specs import DecodeSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: DecodeSpec, catalogue: Catalogue) -> None:
    """The dataset is `planted`; what was made of it, and the models, fit."""
    if spec.dataset.name != "planted":
        raise SpecRefused("/dataset", f"{spec.dataset} holds no planted features: only `planted` does")
    dataset = dataset_card(catalogue, spec.dataset, "/dataset")
    for at, ref in enumerate(spec.constructed):
        card = dataset_card(catalogue, ref, f"/constructed/{at}")
        if (card.shape, len(card.classes)) != (dataset.shape, len(dataset.classes)):
            raise SpecRefused(f"/constructed/{at}", f"{ref} was not made of {spec.dataset}")
    for at, model in enumerate(spec.models):
        shown = model_card(catalogue, model, f"/models/{at}")
        if (shown.shape, shown.classes) != (dataset.shape, len(dataset.classes)):
            raise SpecRefused(f"/models/{at}", f"{model} does not read such images")


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.decode import decode  # noqa: PLC0415

    return decode


ENTRY = JobKind(
    name="decode",
    summary="read planted features back from datasets, and see which of them models follow",
    spec=DecodeSpec,
    slot="cpu",
    check=check,
    build=build,
    work=lambda _, __: Work(group="decode", network=None, seconds=3.0, unsure=4.0),
)
