"""What network families are built of."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


class Body(nn.Sequential):
    """Layers that map images [n, C, H, W] to penultimate features [n, F]."""

    features: int
    """F."""

    def __init__(self, layers: Iterable[nn.Module], features: int) -> None:
        super().__init__(*layers)
        self.features = features


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the image's size at stride 1, and its batch normalisation."""
    # The convolution needs no bias: the normalisation behind it has one.
    return [nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x)): one block of a residual network (He et al. 2016)."""

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, C, H, W] to [n, C', H', W'], as branch and shortcut agree."""
        return torch.relu(self.branch(x) + self.shortcut(x))


def basic_block(inputs: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions; gives `width` channels."""
    branch = nn.Sequential(*convolution(inputs, width, stride=stride), nn.ReLU(), *convolution(width, width))
    return Residual(branch, _shortcut(inputs, width, stride))


def bottleneck_block(inputs: int, width: int, stride: int) -> Residual:
    """A 3x3 convolution between two 1x1 ones; gives 4 x `width` channels. The stride is in the 3x3 one."""
    branch = nn.Sequential(
        *convolution(inputs, width, 1),
        nn.ReLU(),
        *convolution(width, width, stride=stride),
        nn.ReLU(),
        *convolution(width, 4 * width, 1),
    )
    return Residual(branch, _shortcut(inputs, 4 * width, stride))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(*convolution(inputs, outputs, 1, stride))
