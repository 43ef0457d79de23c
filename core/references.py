"""The references inside a spec: find them, and put others in their place. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from sieve.specs import DatasetRef, JobRef, ModelRef, Reference, Spec, UploadRef

SpecT = TypeVar("SpecT", bound=Spec)

INPUTS = (DatasetRef, ModelRef, JobRef, UploadRef)
"""References that stand for something a job reads."""


def references(spec: Spec, pointer: str = "") -> Iterator[tuple[str, Reference]]:
    """Every reference to a dataset, model or job in a spec, with its JSON pointer, in field order."""
    for name in type(spec).model_fields:
        yield from _within(getattr(spec, name), f"{pointer}/{name}")


def _within(value: object, pointer: str) -> Iterator[tuple[str, Reference]]:
    if isinstance(value, INPUTS):
        yield pointer, value
    elif isinstance(value, Spec):
        yield from references(value, pointer)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _within(item, f"{pointer}/{index}")


def needed_jobs(spec: Spec) -> list[str]:
    """Ids of the jobs (`job_…`) that must have succeeded before this one can run, each once."""
    return list(dict.fromkeys(ref.name for _, ref in references(spec) if ref.name.startswith("job_")))


def renamed(spec: SpecT, rename: Callable[[str], str]) -> SpecT:
    """The same spec with every reference's name passed through `rename`."""
    return spec.model_copy(update={name: _renamed(getattr(spec, name), rename) for name in type(spec).model_fields})


def _renamed(value: object, rename: Callable[[str], str]) -> object:
    if isinstance(value, INPUTS):
        return value.model_copy(update={"name": rename(value.name)})
    if isinstance(value, Spec):
        return renamed(value, rename)
    if isinstance(value, tuple):
        return tuple(_renamed(item, rename) for item in value)
    return value
