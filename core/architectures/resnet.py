"""Residual networks for small images (He et al. 2016): a 3x3 stem and no pooling before the first stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 26: (3, 3, 3, 3), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks of each stage, by depth; depth 50 has bottleneck blocks."""


class ResNetOptions(Spec):
    """Stages of residual blocks; each stage after the first halves the image and doubles the width."""

    depth: Literal[10, 18, 26, 34, 50] = 18
    """Layers with weights; 50 has bottleneck blocks."""
    width: int = Field(default=64, ge=1, le=1024)
    """Channels of the stem and the first stage; bottleneck blocks give four times the stage's width."""
    blocks: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(), max_length=6)
    """Blocks of each stage, for another depth: where given, `depth` only says basic (10 to 34) or bottleneck (50).
    `{"blocks": [3, 3, 3], "width": 16}` is the ResNet-20 of the CIFAR-10 experiments of He et al."""

    def each_stage(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return self.blocks or BLOCKS[self.depth]


def check(options: ResNetOptions, shape: Shape) -> None:
    """Every stage must have something to halve."""
    _, height, width = shape
    stages = len(options.each_stage())
    if 2 ** (stages - 1) > min(height, width):
        raise SpecRefused("/blocks", f"{stages} stages shrink a {width}x{height} image to less than a pixel")


def build(options: ResNetOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, width of the last stage]."""
    from torch import nn

    from core.networks import Body, basic_block, bottleneck_block, convolution

    block, expansion = (bottleneck_block, 4) if options.depth == 50 else (basic_block, 1)
    layers: list[nn.Module] = [*convolution(shape[0], options.width), nn.ReLU()]
    inputs = options.width
    for stage, count in enumerate(options.each_stage()):
        width = options.width * 2**stage
        for place in range(count):
            layers.append(block(inputs, width, 2 if stage > 0 and place == 0 else 1))
            inputs = width * expansion
    return Body([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], inputs)


_PLACES = {
    "conv1": "branch.0",
    "bn1": "branch.1",
    "conv2": "branch.3",
    "bn2": "branch.4",
    "conv3": "branch.6",
    "bn3": "branch.7",
    "shortcut.0": "shortcut.0",
    "shortcut.1": "shortcut.1",
    "downsample.0": "shortcut.0",
    "downsample.1": "shortcut.1",
}
"""Of a block's layers, by the names that most implementations give to them."""


def aliases(names: Iterable[str]) -> dict[str, str]:
    """The usual names: `conv1`, `bn1`, `layer1.0.conv1`, …: by stage and place within it.

    A stage begins at the block that has a shortcut of its own; the first may have none.
    """
    own = set(names)
    found: dict[str, str] = {}
    layers = {"conv1": "body.0", "bn1": "body.1"}
    blocks = sorted({int(name.split(".")[1]) for name in own if ".branch." in name})
    stage, place = 0, 0
    for block in blocks:
        starts = block == blocks[0] or (f"body.{block}.shortcut.0.weight" in own)
        stage, place = (stage + 1, 0) if starts else (stage, place + 1)
        layers |= {f"layer{stage}.{place}.{other}": f"body.{block}.{mine}" for other, mine in _PLACES.items()}
    for other, mine in layers.items():
        for what in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            if f"{mine}.{what}" in own:
                found[f"{other}.{what}"] = f"{mine}.{what}"
    return found


ENTRY = ArchitectureEntry(
    name="resnet",
    summary="residual networks for small images, 10 to 50 layers, any width",
    options=ResNetOptions,
    check=check,
    build=build,
    aliases=aliases,
)
