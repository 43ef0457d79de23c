"""Spec of a share of a large job. Made by the service, not submitted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sieve.specs.base import Spec
from sieve.specs.evaluate import EvaluateSpec
from sieve.specs.synthesize import SynthesizeSpec


class ShardSpec(Spec):
    """Do one share of the blocks of a synthesis or an evaluation."""

    kind: Literal["shard"] = "shard"
    job: Annotated[SynthesizeSpec | EvaluateSpec, Field(discriminator="kind")]
    """The whole job."""
    index: int = Field(ge=0)
    """Number of the share, from 0."""
    of: int = Field(ge=1)
    """How many shares there are."""
