"""An architecture of somebody else's distribution: all that there is to write."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import ArchitectureEntry, Shape
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body


class PerceptronOptions(Spec):
    """One hidden layer."""

    hidden: int = Field(default=16, ge=1, le=4096)


def check(options: PerceptronOptions, shape: Shape) -> None:
    """Any image will do."""


def build(options: PerceptronOptions, shape: Shape) -> Body:
    from torch import nn

    from core.networks import Body

    return Body([nn.Flatten(), nn.Linear(prod(shape), options.hidden), nn.ReLU()], options.hidden)


ENTRY = ArchitectureEntry(
    name="perceptron", summary="one hidden layer", options=PerceptronOptions, check=check, build=build
)
