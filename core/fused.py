"""Convolution, addition and ReLU as one operation in bfloat16 on the CPU, with a gradient for images alone.

A frozen model's weights want no gradient, so the backward pass is only: cut the gradient where ReLU cut, then convolve
back. oneDNN fuses the forward pass into its convolution. What ReLU does to a bfloat16 is the same as to its bits read
as a signed 16-bit integer, and on integers the mask takes a third of the time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from core.networks import Residual

_ONE = [1, 1]


class FusedConvolution(nn.Module):
    """relu(convolution(x) + bias), or relu(convolution(x) + bias + shortcut). Shares the convolution's weights."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """bfloat16 [n, C, H, W] to [n, C', H', W'], channels last; `shortcut` has the result's shape."""
        into = self.convolution
        return _Fused.apply(x, shortcut, into.weight, into.bias, into.stride, into.padding)  # type: ignore[no-any-return, no-untyped-call]


class FusedResidual(nn.Module):
    """A residual block whose last convolution also adds the shortcut and cuts at 0."""

    def __init__(self, block: Residual) -> None:
        """`block` has been fused within already; its branch ends in a convolution (and what became of its norm)."""
        super().__init__()
        layers = [layer for layer in block.branch if not isinstance(layer, nn.Identity)]
        last = layers.pop()
        assert isinstance(last, nn.Conv2d)
        self.first = nn.Sequential(*layers)
        self.last = FusedConvolution(last)
        self.shortcut = block.shortcut

    def forward(self, x: Tensor) -> Tensor:
        """As the block it stands for."""
        return self.last(self.first(x), self.shortcut(x))  # type: ignore[no-any-return]


def fuse(module: nn.Module) -> nn.Module:
    """Put fused operations in the place of plain ones inside `module`, whose normalisations have been folded."""
    for name, child in list(module.named_children()):
        setattr(module, name, fuse(child))
    if type(module).forward is nn.Sequential.forward:
        assert isinstance(module, nn.Sequential)
        layers = [layer for layer in module if not isinstance(layer, nn.Identity)]
        ends = {id(after): before for before, after in pairwise(layers) if _fusible(before) and type(after) is nn.ReLU}
        begun = {id(before) for before in ends.values()}
        return nn.Sequential(
            *(
                FusedConvolution(ends[id(layer)]) if id(layer) in ends else layer  # type: ignore[arg-type]
                for layer in layers
                if id(layer) not in begun
            )
        )
    if isinstance(module, Residual) and _fusible([*module.branch][-1]):
        return FusedResidual(module)
    return module


def _fusible(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.bias is not None
        and not isinstance(module.padding, str)
        and module.padding_mode == "zeros"
    )


class _Fused(torch.autograd.Function):
    """relu(w * x + b [+ shortcut])."""

    @staticmethod
    def forward(  # noqa: PLR0917 - the engine passes them so
        ctx: Any,
        x: Tensor,
        shortcut: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        """All of it in one pass."""
        pointwise = torch.ops.mkldnn._convolution_pointwise
        if shortcut is None:
            y = pointwise(x, weight, bias, padding, stride, _ONE, 1, "relu", [], "")
        else:
            y = pointwise.binary(x, shortcut, weight, bias, padding, stride, _ONE, 1, "add", 1.0, "relu", [], "")
        ctx.save_for_backward(x, weight, y)
        ctx.stride, ctx.padding, ctx.adds = stride, padding, shortcut is not None
        return y  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """For x, and for the shortcut the gradient that ReLU lets through."""
        x, weight, y = ctx.saved_tensors
        bits = gradient.contiguous(memory_format=torch.channels_last).view(torch.int16)
        through = torch.ops.aten.threshold_backward(bits, y.view(torch.int16), 0).view(torch.bfloat16)
        back, _, _ = torch.ops.aten.convolution_backward(
            through, x, weight, None, ctx.stride, ctx.padding, _ONE, False, [0, 0], 1, [True, False, False]
        )
        return back, through if ctx.adds else None, None, None, None, None
