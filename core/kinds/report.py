"""Job kind `report`: ends a study. Made by the service, not submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.work import Work
from sieve.specs import ReportSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: ReportSpec, catalogue: Catalogue) -> None:
    """Nothing to check: the study's expansion made it."""
    del spec, catalogue


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from core.report import report  # noqa: PLC0415

    return report


ENTRY = JobKind(
    name="report",
    summary="gather a study's figures and pictures",
    spec=ReportSpec,
    slot="cpu",
    check=check,
    build=build,
    # The page carries its plotting library with it.
    work=lambda spec, _: Work(group="report", network=None, seconds=2.0 * len(spec.study.seeds), files_bytes=6_000_000),
    submittable=False,
)
