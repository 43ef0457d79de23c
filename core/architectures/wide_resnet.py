"""Wide residual networks (Zagoruyko and Komodakis 2016): normalisation and ReLU come before each convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body

STAGES = 3
STEM = 16


class WideResNetOptions(Spec):
    """Three stages of residual blocks, 16, 32 and 64 channels wide times `widening`; WRN-28-10 where not said."""

    depth: int = Field(default=28, ge=10, le=1000)
    """Layers with weights, shortcuts not counted: 6 n + 4 with n blocks a stage."""
    widening: int = Field(default=10, ge=1, le=64)
    """Factor of the stages' widths."""

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if (depth - 4) % (2 * STAGES):
            raise ValueError(f"{depth} is not 6 n + 4: say 10, 16, 22, 28, ...")
        return depth


def check(options: WideResNetOptions, shape: Shape) -> None:  # noqa: ARG001
    """Every stage must have something to halve."""
    _, height, width = shape
    if min(height, width) < 2 ** (STAGES - 1):
        raise SpecRefused("/depth", f"{STAGES} stages shrink a {width}x{height} image to less than a pixel")


def build(options: WideResNetOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, 64 widening]."""
    from torch import nn

    from core.networks import Body, PreactivationBlock

    layers: list[nn.Module] = [nn.Conv2d(shape[0], STEM, 3, padding=1, bias=False)]
    inputs = STEM
    for stage in range(STAGES):
        width = STEM * 2**stage * options.widening
        for place in range((options.depth - 4) // (2 * STAGES)):
            layers.append(PreactivationBlock(inputs, width, 2 if stage > 0 and place == 0 else 1))
            inputs = width
    layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Body(layers, inputs)


ENTRY = ArchitectureEntry(
    name="wide_resnet",
    summary="wide residual networks for small images: WRN-28-10, or any depth and widening",
    options=WideResNetOptions,
    check=check,
    build=build,
)
