"""Job kind `export`: a dataset that a job made, or took in, written in a file format. Runs on a CPU slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import Catalogue, JobKind
from core.errors import SpecRefused
from core.planning import dataset_card
from sieve.specs import ExportSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: ExportSpec, catalogue: Catalogue) -> None:
    """The dataset is one that a job made, or will make, and is meant whole."""
    dataset_card(catalogue, spec.dataset, "/dataset")
    if not spec.dataset.name.startswith(("ds_", "job_")):
        raise SpecRefused(
            "/dataset/name", f"{spec.dataset} is no file of this server: only what a job made is exported"
        )
    if spec.dataset.limit_train is not None or spec.dataset.limit_test is not None:
        raise SpecRefused("/dataset", "a dataset is exported whole: leave out limit_train and limit_test")


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from formats.routines.export import export  # noqa: PLC0415

    return export


KIND = JobKind(
    name="export",
    summary="write a dataset in a file format that other software reads",
    spec=ExportSpec,
    slot="cpu",
    check=check,
    build=build,
)
