"""Spec of decoding planted features."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sieve.specs.base import DatasetRef, ModelRef, Spec


class DecodeSpec(Spec):
    """Read the planted features back, without any network, from constructed datasets; and see which a model follows."""

    kind: Literal["decode"] = "decode"
    dataset: DatasetRef
    """`planted`, with the options that the constructed datasets were made of."""
    constructed: tuple[DatasetRef, ...] = Field(default=(), max_length=64)
    """Made of the dataset's training images."""
    models: tuple[ModelRef, ...] = Field(default=(), max_length=64)
    """Shown images whose shape is of one class and whose pattern is of another."""
    images: int = Field(default=1000, ge=10, le=1_000_000)
    """Such images."""
