"""A small plain convolutional network: what digits and planted are studied with."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body


class ConvNetOptions(Spec):
    """3x3 convolutions, each with batch normalisation and ReLU, then global average pooling."""

    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(8, 16, 32), min_length=1, max_length=64)
    """Channels of each convolution; the last is the penultimate layer's width."""
    strides: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(default=(), max_length=64)
    """Stride of each convolution; when absent 1 for the first and the last, 2 between them."""

    @model_validator(mode="after")
    def _a_stride_each(self) -> ConvNetOptions:
        if self.strides and len(self.strides) != len(self.widths):
            raise ValueError(f"there are {len(self.widths)} widths and {len(self.strides)} strides")
        return self

    def each_stride(self) -> tuple[int, ...]:
        """One stride a convolution."""
        last = len(self.widths) - 1
        return self.strides or tuple(1 if at in (0, last) else 2 for at in range(last + 1))


def check(options: ConvNetOptions, shape: Shape) -> None:
    """The strides must leave something of the image."""
    _, height, width = shape
    if prod(options.each_stride()) > min(height, width):
        raise SpecRefused("/strides", f"together they shrink a {width}x{height} image to less than a pixel")


def build(options: ConvNetOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, last width]."""
    from torch import nn

    from core.networks import Body, convolution

    layers: list[nn.Module] = []
    inputs = shape[0]
    for width, stride in zip(options.widths, options.each_stride(), strict=True):
        layers += [*convolution(inputs, width, stride=stride), nn.ReLU()]
        inputs = width
    return Body([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], inputs)


ENTRY = ArchitectureEntry(
    name="convnet",
    summary="3x3 convolutions of chosen widths, batch normalisation, global average pooling",
    options=ConvNetOptions,
    check=check,
    build=build,
)
