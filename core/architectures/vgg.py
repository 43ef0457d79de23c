"""Plain stacks of 3x3 convolutions with pooling between the stages (Simonyan and Zisserman 2015), for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body

STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each stage, by depth."""
WIDEST = 8
"""Stages are 1, 2, 4, 8, 8, ... times as wide as the first."""


class VGGOptions(Spec):
    """Stages of 3x3 convolutions with ReLU; each stage after the first begins by taking maxima over 2x2 pixels."""

    depth: Literal[11, 13, 16, 19] = 16
    """Configurations A, B, D and E of the paper."""
    width: int = Field(default=64, ge=1, le=1024)
    """Channels of the first stage; each further stage has twice as many, up to eight times."""
    stages: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(default=(), max_length=8)
    """Convolutions of each stage, for another stack: where given, `depth` means nothing. `{"stages": [2, 2, 2],
    "width": 16}` is one for 8x8 images."""
    batch_norm: bool = True
    """Normalise after every convolution."""
    hidden: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(default=(), max_length=4)
    """Fully connected layers after the pooling, each with ReLU; the last gives the penultimate features. The paper's
    networks for ImageNet have `[4096, 4096]`, those for 32x32 images mostly none."""

    def each_stage(self) -> tuple[int, ...]:
        """Convolutions of each stage."""
        return self.stages or STAGES[self.depth]


def check(options: VGGOptions, shape: Shape) -> None:
    """Every stage must have something to halve."""
    _, height, width = shape
    stages = len(options.each_stage())
    if 2 ** (stages - 1) > min(height, width):
        raise SpecRefused("/stages", f"{stages} stages shrink a {width}x{height} image to less than a pixel")


def build(options: VGGOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, width of the last stage], or of the last hidden layer."""
    from torch import nn

    from core.networks import Body, convolution

    layers: list[nn.Module] = []
    inputs = shape[0]
    for stage, count in enumerate(options.each_stage()):
        width = options.width * min(2**stage, WIDEST)
        if stage:
            layers.append(nn.MaxPool2d(2))
        for _ in range(count):
            unnormalised = [nn.Conv2d(inputs, width, 3, padding=1)]
            layers += [*(convolution(inputs, width) if options.batch_norm else unnormalised), nn.ReLU()]
            inputs = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for hidden in options.hidden:
        layers += [nn.Linear(inputs, hidden), nn.ReLU()]
        inputs = hidden
    return Body(layers, inputs)


ENTRY = ArchitectureEntry(
    name="vgg",
    summary="plain stacks of 3x3 convolutions, 11 to 19 layers, any width, with or without batch normalisation",
    options=VGGOptions,
    check=check,
    build=build,
)
