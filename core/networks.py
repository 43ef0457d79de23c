"""What network families are built of."""

from __future__ import annotations

from collections.abc import Iterable

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
