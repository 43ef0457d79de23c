"""Job kind `pretrain`: an encoder trained without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind, ModelCard
from core.kinds import train
from core.work import Work
from sieve.specs import PretrainSpec, TrainSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: PretrainSpec, catalogue: Catalogue) -> ModelCard:
    """The dataset exists, and the architecture takes its images."""
    alike = TrainSpec(dataset=spec.dataset, architecture=spec.architecture, batch_size=spec.batch_size)
    return train.check(alike, catalogue)


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.pretraining import pretrain  # noqa: PLC0415

    return pretrain


ENTRY = JobKind(
    name="pretrain",
    summary="train an encoder without labels (SimCLR)",
    spec=PretrainSpec,
    slot="accelerator",
    check=check,
    build=build,
    work=lambda spec, _: Work(group="pretrain", network=None, seconds=1.0 * spec.epochs, unsure=10.0, models=1),
)
