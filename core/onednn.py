"""Convolutions with fixed weights on a CPU: forward, and back to the gradient for their images.

Weights that stay are brought into oneDNN's own layout once, and what follows a convolution (bias, shortcut, ReLU) is
computed while its result is still at hand. The gradient for images is a convolution, too, and is computed as one.

Shape legend: activations and gradients are [n, C, H, W], channels last, fp32 or bfloat16.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn

Pair = tuple[int, ...]
"""Of rows, of columns."""

_ONE = [1, 1]
_NARROW = 4
_MANY = 256
"""On images of up to `_NARROW` columns, bfloat16 convolutions of `_MANY` channels or more are computed as matrix
products: oneDNN's kernels go along rows, and a row of 4 pixels leaves three quarters of a matrix unit idle."""


def available() -> bool:
    """Has this torch the operations used here? They are not part of its documented interface."""
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    return torch._C._has_mkldnn and all(hasattr(torch.ops.mkldnn, name) for name in names)


def cut(gradient: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """The gradient where x > 0, else 0: back through the ReLU that gave x. All of one shape; `out` may be `gradient`.

    A bfloat16 and its bits read as a signed integer have the same sign, and on integers this takes a third of the time.
    """
    bits = torch.int16 if x.dtype == torch.bfloat16 else x.dtype
    torch.ops.aten.threshold_backward.grad_input(gradient.view(bits), x.view(bits), 0, grad_input=out.view(bits))
    return out


class FixedConvolution:
    """A convolution whose weights stay as they are until `refresh`."""

    def __init__(self, module: nn.Conv2d) -> None:
        """`module` is one that `can_stand_for` says yes to."""
        assert not isinstance(module.padding, str)
        self._module = module
        self._padding: Pair = module.padding
        self._stride = module.stride[0]
        self.refresh()

    @staticmethod
    def can_stand_for(module: nn.Module) -> bool:
        """Is it a convolution over all channels at once that pads with zeros, by less than its size?"""
        return (
            isinstance(module, nn.Conv2d)
            and module.groups == 1
            and module.dilation == (1, 1)
            and module.stride[0] == module.stride[1]
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
            and all(pad < size for pad, size in zip(module.padding, module.kernel_size, strict=True))
        )

    def refresh(self) -> None:
        """Use the module's weights as they are now."""
        module, stride = self._module, (self._stride, self._stride)
        self._ahead = _Kernel(module.weight, module.bias, stride=stride, before=self._padding, after=self._padding)
        self._back: _Kernel | None = None

    def __call__(self, x: Tensor, *, relu: bool, onto: Tensor | None = None, keep: bool = False) -> Tensor:
        """w * x + b [+ onto], cut at 0 where `relu`. `onto` is overwritten unless it is to be kept."""
        return self._ahead(x, relu=relu, onto=onto, keep=keep)

    def back(
        self, gradient: Tensor, x: Tensor, *, rectified: bool, onto: Tensor | None = None, skipping: int = 1
    ) -> Tensor:
        """The gradient for x from the one for the result.

        `rectified`: x came out of a ReLU; the gradient is taken back through it as well. `onto`, which is overwritten,
        is a gradient for x from elsewhere: for all of it, or for one pixel in `skipping` of each row and column.
        """
        stride = self._stride
        if stride > 1 and x.shape[2:] == (stride * gradient.shape[2], stride * gradient.shape[3]):
            return self._join(self._kernel_back(stride)(gradient), x, rectified, onto, skipping)
        if stride == 1:
            found = self._kernel_back(1)(gradient, onto=onto if skipping == 1 else None)
        else:
            pair, weight = [stride, stride], self._module.weight
            found, _, _ = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, pair, self._padding, _ONE, False, [0, 0], 1, [True, False, False]
            )
        if onto is not None and (stride > 1 or skipping > 1):
            found[:, :, ::skipping, ::skipping].add_(onto)
        return cut(found, x, out=found) if rectified else found

    def back_to_what_it_reads(self, gradient: Tensor, x: Tensor) -> tuple[Tensor, int]:
        """The gradient for the pixels of x that it reads, and in how many of each row and column it reads one.

        That is more than 1 for a 1x1 convolution with a stride.
        """
        if self._stride > 1 and self._module.kernel_size == (1, 1):
            return self._kernel_back(1)(gradient), self._stride
        return self.back(gradient, x, rectified=False), 1

    def _kernel_back(self, stride: int) -> _Kernel:
        if self._back is None:
            weight, before, after = _turned(self._module.weight, stride, self._padding)
            self._back = _Kernel(weight, None, stride=(1, 1), before=before, after=after)
        return self._back

    def _join(self, phases: Tensor, x: Tensor, rectified: bool, onto: Tensor | None, skipping: int) -> Tensor:
        """Put the pixels of a gradient for x, found phase by phase (see `_turned`), into their places."""
        n, channels, height, width = x.shape
        stride = self._stride

        def split(tensor: Tensor) -> Tensor:
            return tensor.permute(0, 2, 3, 1).view(n, height // stride, stride, width // stride, stride, channels)

        found = phases.permute(0, 2, 3, 1)
        found = found.view(*found.shape[:3], stride, stride, channels).transpose(2, 3)
        if onto is not None and skipping == stride:
            found[:, :, 0, :, 0].add_(onto.permute(0, 2, 3, 1))
        elif onto is not None:
            assert skipping == 1
            found.add_(split(onto))
        joined = torch.empty_like(x)
        if rectified:
            cut(found, split(x), out=split(joined))
        else:
            split(joined).copy_(found)
        return joined


class _Kernel:
    """A convolution whose weight stays as it is. The first input decides the layout that the weight is kept in."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, stride: Pair, before: Pair, after: Pair) -> None:
        """`before` and `after` are the zeros around the input: above and left, below and right."""
        self._weight, self._bias, self._stride = weight, bias, stride
        self._before, self._after = before, after
        self._padding = [max(pads) for pads in zip(before, after, strict=True)]
        self._laid_out: Tensor | None = None
        self._as_product = False

    def __call__(self, x: Tensor, *, relu: bool = False, onto: Tensor | None = None, keep: bool = False) -> Tensor:
        """See `FixedConvolution`."""
        size = [
            (length + before + after - extent) // stride + 1
            for length, before, after, extent, stride in zip(
                x.shape[2:], self._before, self._after, self._weight.shape[2:], self._stride, strict=True
            )
        ]
        if self._laid_out is None:
            many = x.dtype == torch.bfloat16 and x.shape[1] >= _MANY and self._weight.shape[2:] != (1, 1)
            self._as_product = many and size[1] <= _NARROW
            self._laid_out = self._lay_out(x)
        if self._as_product:
            return self._product(x, size, relu, onto)
        ops, after = torch.ops.mkldnn, "relu" if relu else None
        settings = (self._laid_out, self._bias, self._padding, self._stride, _ONE, 1)
        if onto is None:
            y = ops._convolution_pointwise(x, *settings, after or "none", [], "")
        elif keep:
            y = ops._convolution_pointwise.binary(x, onto, *settings, "add", 1.0, after, [], "")
        else:
            y = ops._convolution_pointwise_.binary(onto, x, *settings, "add", 1.0, after, [], "")
        if self._before == self._after:
            return y  # type: ignore[no-any-return]
        # oneDNN was given as many zeros before as after: some of the result is of no interest.
        top, left = (pad - before for pad, before in zip(self._padding, self._before, strict=True))
        return y[:, :, top : top + size[0], left : left + size[1]]  # type: ignore[no-any-return]

    def _lay_out(self, x: Tensor) -> Tensor:
        if self._as_product:
            return self._weight.permute(2, 3, 1, 0).reshape(-1, self._weight.shape[0])
        laid_out: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            self._weight, self._padding, self._stride, _ONE, 1, x.shape
        )
        return laid_out

    def _product(self, x: Tensor, size: list[int], relu: bool, onto: Tensor | None) -> Tensor:
        """As the product of a matrix that has the surroundings of one pixel in each row, and the weight."""
        assert self._laid_out is not None
        n, channels, height, width = x.shape
        (top, left), (bottom, right) = self._before, self._after
        padded = x.new_zeros(n, height + top + bottom, width + left + right, channels)
        padded[:, top : top + height, left : left + width] = x.permute(0, 2, 3, 1)
        image, row, pixel, _ = padded.stride()
        rows, columns = self._weight.shape[2:]
        surroundings = padded.as_strided(
            (n, *size, rows, columns * channels), (image, self._stride[0] * row, self._stride[1] * pixel, row, 1)
        ).reshape(n * size[0] * size[1], -1)
        bias = self._bias
        found = surroundings @ self._laid_out if bias is None else torch.addmm(bias, surroundings, self._laid_out)
        y = found.view(n, *size, -1).permute(0, 3, 1, 2)
        if onto is not None:
            y.add_(onto)
        return y.relu_() if relu else y


def _turned(weight: Tensor, stride: int, padding: Pair) -> tuple[Tensor, Pair, Pair]:
    """The kernel that takes the gradient for a convolution's result back to its input, and zeros before and after.

    Pixel s q + r of the input (s the stride, r its phase) is read by tap k for pixel q + (r + padding - k) / s of the
    result, where that is a whole number. So each of the s x s phases is a convolution of stride 1 of the gradient, and
    all of them are one convolution: weight [out, in, …] to [s s in, out, …], channels counted within phases.
    """
    outputs, inputs, *size = weight.shape
    taps = [
        [
            (phase, tap, (phase + pad - tap) // stride)
            for phase in range(stride)
            for tap in range(extent)
            if (phase + pad - tap) % stride == 0
        ]
        for pad, extent in zip(padding, size, strict=True)
    ]
    before = tuple(-min(shift for _, _, shift in along) for along in taps)
    after = tuple(max(shift for _, _, shift in along) for along in taps)
    extent = [low + high + 1 for low, high in zip(before, after, strict=True)]
    turned = weight.new_zeros(stride, stride, inputs, outputs, *extent)
    for (down, row, above), (right, column, left) in product(*taps):
        turned[down, right, :, :, above + before[0], left + before[1]] = weight[:, :, row, column].T
    return turned.flatten(0, 2).contiguous(memory_format=torch.channels_last), before, after
