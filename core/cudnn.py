"""Convolutions with fixed weights on a GPU: forward, and back to the gradient for their images.

Bias, shortcut and ReLU are computed by cuDNN's convolutions while their results are still at hand, and a gradient that
comes together from two sides is summed and cut in one pass: on small images a GPU waits for memory as much as it
computes.

Shape legend: activations and gradients are [n, C, H, W], channels last, fp32 or bfloat16.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from core.memory import ran_out
from core.onednn import cut

_SUM_AND_CUT = "template <typename T> T sum_and_cut(T x, T g, T h) { return x > T(0) ? g + h : T(0); }"


def available() -> bool:
    """Has this torch the operations used here? They are not part of its documented interface."""
    return torch.cuda.is_available() and hasattr(torch, "cudnn_convolution_add_relu")


@cache
def _sum_and_cut() -> Any:
    """Compiled by the driver's own compiler at its first use, in less than a second; no other one is needed."""
    return torch.cuda.jiterator._create_jit_fn(_SUM_AND_CUT)


class FixedConvolution:
    """A convolution whose weights are only read; see `core.onednn.FixedConvolution`."""

    def __init__(self, module: nn.Conv2d) -> None:
        """`module` is one that `can_stand_for` says yes to."""
        assert not isinstance(module.padding, str)
        self._module = module
        self._padding = module.padding
        # In fp32 a ResNet-18's gradient by these operations was 0.5 % off that by cuDNN's plain convolutions.
        self._fuses = module.weight.dtype == torch.bfloat16

    @staticmethod
    def can_stand_for(module: nn.Module) -> bool:
        """Is it a convolution that pads with zeros, by a number of them?"""
        return isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str)

    def refresh(self) -> None:
        """The module's weights are read where they are."""

    def __call__(self, x: Tensor, *, relu: bool, onto: Tensor | None = None, keep: bool = False) -> Tensor:
        """w * x + b [+ onto], cut at 0 where `relu`."""
        del keep  # `onto` is never overwritten
        module = self._module
        if relu and self._fuses:
            how = module.stride, self._padding, module.dilation, module.groups
            try:
                if onto is None:
                    return torch.cudnn_convolution_relu(x, module.weight, module.bias, *how)
                return torch.cudnn_convolution_add_relu(x, module.weight, onto, 1, module.bias, *how)
            except RuntimeError as error:
                if ran_out(error):
                    raise
                self._fuses = False  # cuDNN has none for these shapes
        y: Tensor = module._conv_forward(x, module.weight, module.bias)
        if onto is not None:
            y += onto
        return y.relu_() if relu else y

    def back_to_what_it_reads(self, gradient: Tensor, x: Tensor) -> tuple[Tensor, int]:
        """The gradient for all pixels of x, read or not."""
        return self.back(gradient, x, rectified=False), 1

    def back(
        self, gradient: Tensor, x: Tensor, *, rectified: bool, onto: Tensor | None = None, skipping: int = 1
    ) -> Tensor:
        """The gradient for x from the one for the result; `onto`, another one for all of x, is added.

        `rectified`: x came out of a ReLU; the gradient is taken back through it as well.
        """
        assert skipping == 1
        module = self._module
        found, _, _ = torch.ops.aten.convolution_backward(
            gradient, x, module.weight, None, module.stride, self._padding, module.dilation, False, [0, 0],
            module.groups, [True, False, False],
        )  # fmt: skip
        if onto is not None and rectified:
            return _sum_and_cut()(x, found, onto)  # type: ignore[no-any-return]
        if onto is not None:
            found += onto
        return cut(found, x, out=found) if rectified else found
