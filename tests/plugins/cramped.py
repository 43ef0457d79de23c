"""An architecture that memory runs out for: torch's own error, raised where too many images come at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.cards import ArchitectureEntry, Shape
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body


class CrampedOptions(Spec):
    """A small convolutional network in little memory."""

    images: int = Field(ge=1)
    """More than so many at once are refused, on the way back too."""


def check(options: CrampedOptions, shape: Shape) -> None:
    """Any image will do."""


def build(options: CrampedOptions, shape: Shape) -> Body:
    import torch
    from torch import Tensor, nn

    from core.networks import Body, convolution

    def refuse(x: Tensor) -> None:
        if len(x) > options.images:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {len(x)} images")

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            refuse(gradient)
            return gradient

    class Cramped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                refuse(x)
            return Backward.apply(x)

    # With a gradient to come it is refused on the way back: everything in front has been computed by then.
    layers = [*convolution(shape[0], 8), nn.ReLU(), *convolution(8, 8, stride=2), nn.ReLU(), Cramped()]
    return Body([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], 8)


ENTRY = ArchitectureEntry(
    name="cramped", summary="memory runs out for it", options=CrampedOptions, check=check, build=build
)
