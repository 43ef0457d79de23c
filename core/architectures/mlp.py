"""Multilayer perceptrons: no convolution, no idea of neighbouring pixels."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from core.cards import ArchitectureEntry, Shape
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body


class MLPOptions(Spec):
    """Fully connected layers, each with batch normalisation and ReLU."""

    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(default=(128, 32), min_length=1, max_length=32)
    """Units of each layer; the last is the penultimate layer's width."""
    batch_norm: bool = True
    """Normalise before every ReLU."""


def check(options: MLPOptions, shape: Shape) -> None:
    """Any image will do."""


def build(options: MLPOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, last hidden layer's units]."""
    from torch import nn

    from core.networks import Body

    layers: list[nn.Module] = [nn.Flatten()]
    inputs = prod(shape)
    for units in options.hidden:
        normalised = [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units)]
        layers += [*(normalised if options.batch_norm else [nn.Linear(inputs, units)]), nn.ReLU()]
        inputs = units
    return Body(layers, inputs)


ENTRY = ArchitectureEntry(
    name="mlp",
    summary="multilayer perceptrons of chosen widths",
    options=MLPOptions,
    check=check,
    build=build,
)
