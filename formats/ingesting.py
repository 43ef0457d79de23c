"""Job kind `ingest`: an uploaded file becomes a dataset. Runs on a CPU slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.errors import SpecRefused
from sieve.specs import IngestSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: IngestSpec, catalogue: Catalogue) -> None:
    """The upload is there, and whole. What it holds is seen when it is read."""
    try:
        catalogue.upload(spec.upload)
    except SpecRefused as refused:
        raise refused.under("/upload") from None


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from formats.routines.ingest import ingest  # noqa: PLC0415

    return ingest


KIND = JobKind(
    name="ingest",
    summary="make a dataset of an uploaded file",
    spec=IngestSpec,
    slot="cpu",
    check=check,
    build=build,
)
