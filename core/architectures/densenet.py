"""Densely connected networks (Huang et al. 2017): each layer reads all before it. For small images: a 3x3 stem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from torch import nn

    from core.networks import Body

LAYERS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
"""Layers of each dense block, by depth."""
BOTTLENECK = 4
"""A layer's 1x1 convolution gives so many times `growth` channels."""


class DenseNetOptions(Spec):
    """Dense blocks with bottlenecks; between two of them a 1x1 convolution that halves channels, and 2x2 means."""

    depth: Literal[121, 169, 201] = 121
    """Layers with weights, at 32 channels of growth for DenseNet-121 as in the paper."""
    growth: int = Field(default=32, ge=1, le=256)
    """Channels that each layer adds; the stem gives twice as many."""
    layers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(), max_length=6)
    """Layers of each dense block, for another network: where given, `depth` means nothing. `{"layers": [3, 3, 3],
    "growth": 8}` is a small one."""

    def each_block(self) -> tuple[int, ...]:
        """Layers of each dense block."""
        return self.layers or LAYERS[self.depth]


def check(options: DenseNetOptions, shape: Shape) -> None:
    """Every block after the first must have something to halve."""
    _, height, width = shape
    blocks = len(options.each_block())
    if 2 ** (blocks - 1) > min(height, width):
        raise SpecRefused("/layers", f"{blocks} blocks shrink a {width}x{height} image to less than a pixel")


def build(options: DenseNetOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, channels of the last block]."""
    from torch import nn

    from core.networks import Body

    channels = 2 * options.growth
    layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 3, padding=1, bias=False)]
    for block, count in enumerate(options.each_block()):
        if block:
            layers += _transition(channels, channels // 2)
            channels //= 2
        layers += _dense(channels, options.growth, count)
        channels += count * options.growth
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Body(layers, channels)


def _dense(channels: int, growth: int, count: int) -> Iterator[nn.Module]:
    from torch import nn

    from core.networks import Appended, convolution

    for _ in range(count):
        yield Appended(
            nn.Sequential(
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                *convolution(channels, BOTTLENECK * growth, 1),
                nn.ReLU(),
                nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False),
            )
        )
        channels += growth


def _transition(inputs: int, outputs: int) -> list[nn.Module]:
    from torch import nn

    return [nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.AvgPool2d(2)]


ENTRY = ArchitectureEntry(
    name="densenet",
    summary="densely connected networks for small images, 121 to 201 layers or any, any growth",
    options=DenseNetOptions,
    check=check,
    build=build,
)
