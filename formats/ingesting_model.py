"""Job kind `ingest_model`: uploaded weights become a model. Runs on a CPU slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.cards import ARCHITECTURES, Catalogue, JobKind, ModelCard
from core.errors import SpecRefused
from core.planning import dataset_card
from core.registry import parse_options
from sieve.specs import IngestModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.context import Context, Inputs, Result


def check(spec: IngestModelSpec, catalogue: Catalogue) -> ModelCard | None:
    """The upload is there, and whole; the network takes what it is said to classify. What is inside is seen when it is
    read."""
    try:
        catalogue.upload(spec.upload)
    except SpecRefused as refused:
        raise refused.under("/upload") from None
    dataset = None if spec.dataset is None else dataset_card(catalogue, spec.dataset, "/dataset")
    shape = spec.shape if dataset is None else dataset.shape
    classes = spec.classes if dataset is None else len(dataset.classes)
    if shape is not None and spec.mean is not None and len(spec.mean) != shape[0]:
        raise SpecRefused("/mean", f"there are {len(spec.mean)} values, and {shape[0]} channels")
    if spec.architecture is None or shape is None or classes is None:
        return None
    entry = ARCHITECTURES.get(spec.architecture.name, "/architecture/name")
    options = parse_options(entry.options, spec.architecture.options, "/architecture/options")
    try:
        entry.check(options, shape)
    except SpecRefused as refused:
        raise refused.under("/architecture/options") from None
    return ModelCard(shape, classes, spec.architecture)


def build() -> Callable[[Any, Inputs, Context], Result]:
    """The routine."""
    from formats.routines.ingest_model import ingest_model  # noqa: PLC0415

    return ingest_model


KIND = JobKind(
    name="ingest_model",
    summary="make a model of uploaded weights",
    spec=IngestModelSpec,
    slot="cpu",
    check=check,
    build=build,
)
