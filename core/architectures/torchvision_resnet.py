"""torchvision's residual networks, for images of about 224 pixels: a 7x7 stem and pooling before the first stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from core.architectures.resnet import aliases
from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body

SMALLEST = 32
"""Pixels of a side: below, the last stage has less than one."""


class TorchvisionResNetOptions(Spec):
    """As torchvision builds them, with fresh weights."""

    depth: Literal[18, 34, 50, 101, 152] = 50
    """Layers with weights; from 50 on bottleneck blocks."""


def check(options: TorchvisionResNetOptions, shape: Shape) -> None:  # noqa: ARG001
    """The image is halved five times."""
    channels, height, width = shape
    if min(height, width) < SMALLEST:
        raise SpecRefused("/depth", f"it halves images five times: {width}x{height} is too small, `resnet` is not")
    if channels != 3:
        raise SpecRefused("/depth", f"it takes colour images, these have {channels} channels")


def build(options: TorchvisionResNetOptions, shape: Shape) -> Body:  # noqa: ARG001
    """The body: [n, 3, H, W] to [n, 512], from depth 50 on [n, 2048]."""
    from torch import nn
    from torchvision.models import resnet
    from torchvision.models.resnet import BasicBlock

    from core.networks import Body, Residual

    network = getattr(resnet, f"resnet{options.depth}")(weights=None)
    layers: list[nn.Module] = [network.conv1, network.bn1, nn.ReLU(), network.maxpool]
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            # Its very layers, put together in the way that the frozen view knows how to fold and fuse.
            parts = [block.conv1, block.bn1, nn.ReLU(), block.conv2, block.bn2]
            if not isinstance(block, BasicBlock):
                parts += [nn.ReLU(), block.conv3, block.bn3]
            layers.append(Residual(nn.Sequential(*parts), block.downsample or nn.Identity()))
    return Body([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], network.fc.in_features)


ENTRY = ArchitectureEntry(
    name="torchvision_resnet",
    summary="torchvision's residual networks for images of about 224 pixels, 18 to 152 layers",
    options=TorchvisionResNetOptions,
    check=check,
    build=build,
    aliases=aliases,
)
