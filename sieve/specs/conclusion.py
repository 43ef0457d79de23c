"""Spec of the job that ends a follow-up study. The service makes it; nobody submits it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sieve.specs.base import JobRef, Spec


class ConclusionPart(Spec):
    """One job of the study."""

    node: str
    """Its name in the study's graph, such as `0/train/D_det/1`."""
    job: JobRef
    """The job that holds the result."""


class ConclusionSpec(Spec):
    """Say what a follow-up study found: its claims, their controls, and all figures."""

    kind: Literal["conclusion"] = "conclusion"
    study: dict[str, Any]
    """The study's spec as JSON values, every field; its `kind` says who concludes."""
    parts: tuple[ConclusionPart, ...] = Field(min_length=1)
