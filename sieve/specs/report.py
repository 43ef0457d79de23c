"""Spec of the job that ends a study. The service makes it; nobody submits it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sieve.specs.base import JobRef, Seed, Spec
from sieve.specs.study import StudySpec


class ReportPart(Spec):
    """One job of the study, by its part in it."""

    role: Literal["train", "synthesize", "evaluate"]
    row: str
    """Row of the table: D, D_adv, D_R, D_NR, D_rand, D_det or D_rand_permuted."""
    seed: Seed
    job: JobRef
    """The job that holds the result."""


class ReportSpec(Spec):
    """Gather the results of a study into its report."""

    kind: Literal["report"] = "report"
    study: StudySpec
    parts: tuple[ReportPart, ...] = Field(min_length=1)
