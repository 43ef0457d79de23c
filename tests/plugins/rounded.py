"""A network of somebody else's distribution whose gradients are masked: it rounds its input, which helps nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.architectures.convnet import ENTRY as CONVNET
from core.architectures.convnet import ConvNetOptions
from core.cards import ArchitectureEntry, Shape

if TYPE_CHECKING:
    from torch import nn


def build(options: ConvNetOptions, shape: Shape) -> nn.Module:
    from torch import Tensor, nn, round

    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return round(2 * x) / 2

    body = CONVNET.build(options, shape)
    whole = nn.Sequential(Rounded(), body)
    whole.features = body.features
    return whole


ENTRY = ArchitectureEntry(
    name="rounded", summary="convnet on rounded input", options=ConvNetOptions, check=CONVNET.check, build=build
)
