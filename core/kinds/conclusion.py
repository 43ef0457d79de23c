"""Job kind `conclusion`: ends a follow-up study. Made by the service, not submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.work import Work
from sieve.specs import ConclusionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: ConclusionSpec, catalogue: Catalogue) -> None:
    """Nothing to check: the study's expansion made it."""
    del spec, catalogue


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.conclusion import conclude  # noqa: PLC0415

    return conclude


ENTRY = JobKind(
    name="conclusion",
    summary="hold a study's claims against its figures",
    spec=ConclusionSpec,
    slot="cpu",
    check=check,
    build=build,
    # The page carries its plotting library with it.
    work=lambda _, __: Work(group="conclusion", network=None, seconds=2.0, files_bytes=5_000_000),
    submittable=False,
)
