"""Depthwise separable convolutions between wide and narrow: MobileNetV2 (Sandler et al. 2018), for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from torch import nn

    from core.networks import Body


class MobileNetOptions(Spec):
    """A 3x3 stem, stages of inverted residual blocks, and a 1x1 convolution before the pooling."""

    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(8, 16, 24), min_length=1, max_length=8)
    """Channels between the blocks, a stage each; each stage after the first halves the image."""
    blocks: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(1, 2, 2), max_length=8)
    """Blocks of each stage."""
    expansion: int = Field(default=4, ge=1, le=64)
    """Inside a block there are so many times the channels that come in."""
    features: int = Field(default=64, ge=1, le=8192)
    """Channels of the last convolution: the penultimate layer's width."""

    @model_validator(mode="after")
    def _blocks_for_each_stage(self) -> MobileNetOptions:
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"there are {len(self.widths)} widths and {len(self.blocks)} numbers of blocks")
        return self


def check(options: MobileNetOptions, shape: Shape) -> None:
    """Every stage must have something to halve."""
    _, height, width = shape
    stages = len(options.widths)
    if 2 ** (stages - 1) > min(height, width):
        raise SpecRefused("/widths", f"{stages} stages shrink a {width}x{height} image to less than a pixel")


def build(options: MobileNetOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, features]."""
    from torch import nn

    from core.networks import Body, convolution

    layers: list[nn.Module] = [*convolution(shape[0], options.widths[0]), nn.ReLU6()]
    inputs = options.widths[0]
    for stage, (width, count) in enumerate(zip(options.widths, options.blocks, strict=True)):
        for place in range(count):
            stride = 2 if stage > 0 and place == 0 else 1
            layers.append(_inverted_residual(inputs, width, stride, options.expansion))
            inputs = width
    layers += [*convolution(inputs, options.features, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Body(layers, options.features)


def _inverted_residual(inputs: int, outputs: int, stride: int, expansion: int) -> nn.Module:
    """1x1 to many channels, 3x3 on each of them alone, 1x1 to few: no ReLU there, nor after the shortcut."""
    from torch import nn

    from core.networks import Sum, convolution, depthwise

    inside = inputs * expansion
    expand = [*convolution(inputs, inside, 1), nn.ReLU6()] if expansion > 1 else []
    branch = nn.Sequential(*expand, *depthwise(inside, stride=stride), nn.ReLU6(), *convolution(inside, outputs, 1))
    return Sum(branch) if stride == 1 and inputs == outputs else branch


ENTRY = ArchitectureEntry(
    name="mobilenet",
    summary="inverted residual blocks of depthwise separable convolutions (MobileNetV2), any widths",
    options=MobileNetOptions,
    check=check,
    build=build,
)
