"""Check a spec before anything runs, and say what it will make. Torch-free."""

from __future__ import annotations

from typing import Any

from core.cards import ATTACKS, KINDS, Catalogue, DatasetCard, JobKind, ModelCard
from core.errors import SpecRefused
from core.registry import parse_options
from sieve.specs import DatasetRef, EvaluationRecipe, ModelRef, Spec

__all__ = ["check", "check_attacks", "dataset_card", "model_card", "parse", "submittable_kinds"]


def submittable_kinds() -> list[JobKind]:
    """The kinds that users may submit, sorted by name."""
    return [kind for kind in KINDS.cards() if kind.submittable]


def parse(value: Any) -> Spec:
    """A spec from JSON values, by its `kind`.

    Raises:
        SpecRefused: the kind does not exist.
        ValidationError: a field is wrong (pydantic's own, with all that is wrong).
    """
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise SpecRefused("/kind", f"say what kind of job: {', '.join(kind.name for kind in submittable_kinds())}")
    return KINDS.get(value["kind"], "/kind").spec.model_validate(value)


def check(spec: Spec, catalogue: Catalogue) -> DatasetCard | ModelCard | None:
    """Check a whole spec against what exists. Gives the card of what the job will make, None for figures alone.

    Raises:
        SpecRefused: naming the field.
    """
    kind = KINDS.get(str(spec.kind), "/kind")  # type: ignore[attr-defined]
    return kind.check(spec, catalogue)


def dataset_card(catalogue: Catalogue, ref: DatasetRef, pointer: str) -> DatasetCard:
    """A dataset's card; a refusal names the field below `pointer`."""
    try:
        return catalogue.dataset(ref)
    except SpecRefused as refused:
        raise refused.under(pointer) from None


def model_card(catalogue: Catalogue, ref: ModelRef, pointer: str) -> ModelCard:
    """A model's card; a refusal names the field below `pointer`."""
    try:
        return catalogue.model(ref)
    except SpecRefused as refused:
        raise refused.under(pointer) from None


def check_attacks(recipe: EvaluationRecipe, pointer: str = "") -> None:
    """Check that each attack exists, takes its options and searches the norms asked for."""
    for index, ref in enumerate(recipe.attacks):
        here = f"{pointer}/attacks/{index}"
        entry = ATTACKS.get(ref.name, here + "/name")
        parse_options(entry.options, ref.options, here + "/options")
        for threat in recipe.threats:
            if threat.norm not in entry.norms:
                raise SpecRefused(here + "/name", f"{ref.name} does not search in {threat.norm}")
