"""Job kind `gaussian_fit`: one fit in the Gaussian model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.work import Work
from sieve.specs import GaussianFitSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: GaussianFitSpec, catalogue: Catalogue) -> None:
    """The spec says it all."""
    del spec, catalogue


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.gaussian import gaussian_fit  # noqa: PLC0415

    return gaussian_fit


ENTRY = JobKind(
    name="gaussian_fit",
    summary="fit two Gaussians against an adversary by gradient descent",
    spec=GaussianFitSpec,
    slot="cpu",
    check=check,
    build=build,
    work=lambda _, __: Work(group="gaussian_fit", network=None, seconds=2.0, unsure=4.0),
)
