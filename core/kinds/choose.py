"""Job kind `choose`: the best of several trainings, by their validation images. Made by studies, not submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind, ModelCard
from core.errors import SpecRefused
from core.planning import model_card
from core.work import Work
from sieve.specs import ChooseSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: ChooseSpec, catalogue: Catalogue) -> ModelCard:
    """A training for each model, and models of one sort."""
    if len(spec.trainings) != len(spec.models):
        raise SpecRefused("/trainings", f"there are {len(spec.models)} models and {len(spec.trainings)} trainings")
    first, *others = [model_card(catalogue, ref, f"/models/{at}") for at, ref in enumerate(spec.models)]
    for at, other in enumerate(others, start=1):
        if other != first:
            raise SpecRefused(f"/models/{at}", "is of another sort than the first")
    return first


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.choosing import choose  # noqa: PLC0415

    return choose


ENTRY = JobKind(
    name="choose",
    summary="keep the best of several trainings, by their validation images",
    spec=ChooseSpec,
    slot="cpu",
    check=check,
    build=build,
    work=lambda spec, _: Work(group="choose", network=None, seconds=0.1 * len(spec.models), models=1),
    submittable=False,
)
