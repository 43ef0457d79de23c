"""A frozen network's body as one operation: forward, and back to the gradient for images alone.

Weights that want no gradient make the backward pass short: cut the gradient where ReLU cut, then convolve back. So the
body is turned into a list of layers that do just that, with the fused operations of oneDNN or cuDNN and none of
autograd's bookkeeping between them. What is no convolution, residual block or pooling is left to autograd.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from core import cudnn, onednn
from core.networks import Residual
from core.onednn import cut

Fixed = onednn.FixedConvolution | cudnn.FixedConvolution
"""A convolution whose weights want no gradient, on a CPU or on a GPU."""


class Layer(Protocol):
    """Part of a body. Activations and gradients are channels last."""

    rectified: bool
    """What comes in came out of a ReLU, and gradients are taken back through that as well."""
    rectifies: bool
    """What goes out came out of a ReLU."""

    def refresh(self) -> None:
        """Use the weights as they are now."""

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """The result, and what `backward` needs."""

    def backward(self, saved: Any, gradient: Tensor) -> Tensor:
        """The gradient for x from the one for the result, which may be overwritten."""


class Convolution:
    """w * x + b, or relu(w * x + b)."""

    rectified = False
    rectifies = False

    def __init__(self, fixed: Fixed) -> None:
        self.fixed = fixed

    def refresh(self) -> None:
        """See `Layer`."""
        self.fixed.refresh()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Layer`."""
        return self.fixed(x, relu=self.rectifies), x

    def backward(self, saved: Tensor, gradient: Tensor) -> Tensor:
        """See `Layer`."""
        return self.fixed.back(gradient, saved, rectified=self.rectified)


class Block:
    """relu(branch(x) + shortcut(x))."""

    rectified = False
    rectifies = True

    def __init__(self, branch: list[Convolution], shortcut: Convolution | None) -> None:
        """Without a shortcut: x itself is added. The branch has two layers or more."""
        self._first, *self._middle, self._last = branch
        self._shortcut = shortcut
        self._all = branch if shortcut is None else [*branch, shortcut]

    def refresh(self) -> None:
        """See `Layer`."""
        for layer in self._all:
            layer.refresh()

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `Layer`."""
        inside = x
        saved = [x]
        for layer in (self._first, *self._middle):
            inside, _ = layer.forward(inside)
            saved.append(inside)
        onto = x if self._shortcut is None else self._shortcut.forward(x)[0]
        return self._last.fixed(inside, relu=True, onto=onto, keep=self._shortcut is None), saved

    def backward(self, saved: list[Tensor], gradient: Tensor) -> Tensor:
        """See `Layer`."""
        x, *inputs = saved
        inside = self._last.backward(inputs.pop(), gradient)
        for layer in reversed(self._middle):
            inside = layer.backward(inputs.pop(), inside)
        skipping = 1
        if self._shortcut is not None:
            gradient, skipping = self._shortcut.fixed.back_to_what_it_reads(gradient, x)
        return self._first.fixed.back(inside, x, rectified=self.rectified, onto=gradient, skipping=skipping)


class Pooling:
    """The mean over each channel's pixels, fp32 [n, C]."""

    rectified = False
    rectifies = False

    def refresh(self) -> None:
        """There are no weights."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Layer`."""
        return x.permute(0, 2, 3, 1).flatten(1, 2).mean(1, dtype=torch.float32), x

    def backward(self, saved: Tensor, gradient: Tensor) -> Tensor:
        """See `Layer`."""
        share = (gradient / (saved.shape[2] * saved.shape[3])).to(saved.dtype)[:, :, None, None].expand(saved.shape)
        return _own(share, saved, self.rectified)


class Other:
    """Any module: autograd takes the gradient through it."""

    rectified = False
    rectifies = False

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    @property
    def sort(self) -> str:
        """Of the module."""
        return type(self._module).__name__

    def refresh(self) -> None:
        """The module itself is used."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """See `Layer`."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = self._module(x)
        return y.detach(), (x, y)

    def backward(self, saved: tuple[Tensor, Tensor], gradient: Tensor) -> Tensor:
        """See `Layer`."""
        x, y = saved
        (found,) = torch.autograd.grad(y, x, gradient)
        return _own(found, x.detach(), self.rectified) if x.dim() == 4 else found


def _own(gradient: Tensor, x: Tensor, rectified: bool) -> Tensor:
    """A gradient for x that may be a view or laid out otherwise, as a tensor of its own laid out as x."""
    out = torch.empty_like(x)
    return cut(gradient, x, out=out) if rectified else out.copy_(gradient)


class FusedBody(nn.Module):
    """Stands for a body whose normalisations have been folded. Channels last, of the weights' type, to features."""

    def __init__(self, body: nn.Module, convolution: type[Fixed]) -> None:
        """`convolution` is the one of the device that the body is on."""
        super().__init__()
        self._layers = _layers(body, convolution)

    @property
    def left_to_autograd(self) -> tuple[str, ...]:
        """Sorts of modules that no fused operation stands for, sorted."""
        return tuple(sorted({layer.sort for layer in self._layers if isinstance(layer, Other)}))

    def refresh(self) -> None:
        """Use the weights as they are now."""
        for layer in self._layers:
            layer.refresh()

    def forward(self, x: Tensor) -> Tensor:
        """[n, C, H, W] to [n, F]."""
        return _Run.apply(x, self._layers)  # type: ignore[no-any-return, no-untyped-call]


class _Run(torch.autograd.Function):
    """All layers, one after the other."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: list[Layer]) -> Tensor:
        """Keeps what the layers want to keep."""
        ctx.layers, ctx.saved = layers, []
        for layer in layers:
            x, saved = layer.forward(x)
            ctx.saved.append(saved)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """For x."""
        gradient = gradient.clone()  # layers may overwrite it
        for layer in reversed(ctx.layers):
            gradient = layer.backward(ctx.saved.pop(), gradient)
        return gradient, None


def fixed_convolution(device: torch.device) -> type[Fixed] | None:
    """The one for a device; None where this torch has none for it."""
    if device.type == "cpu" and onednn.available():
        return onednn.FixedConvolution
    return cudnn.FixedConvolution if device.type == "cuda" and cudnn.available() else None


def _layers(module: nn.Module, convolution: type[Fixed]) -> list[Layer]:
    """A module as layers. A ReLU belongs to the convolution before it."""
    if isinstance(module, nn.Identity):
        return []
    if isinstance(module, nn.Conv2d) and convolution.can_stand_for(module):
        return [Convolution(convolution(module))]
    if isinstance(module, Residual):
        return [_block(module, convolution)]
    if type(module).forward is not nn.Sequential.forward:
        return [Other(module)]
    assert isinstance(module, nn.Sequential)
    layers: list[Layer] = []
    parts = list(module)
    while parts:
        part = parts.pop(0)
        if type(part) is nn.ReLU and layers and isinstance(layers[-1], Convolution):
            layers[-1].rectifies = True
        elif _averages(part) and parts and type(parts[0]) is nn.Flatten and parts[0].start_dim == 1:
            parts.pop(0)
            layers.append(Pooling())
        else:
            layers += _layers(part, convolution)
    for before, after in pairwise(layers):
        after.rectified = before.rectifies
    return layers


def _block(module: Residual, convolution: type[Fixed]) -> Layer:
    branch, shortcut = _layers(module.branch, convolution), _layers(module.shortcut, convolution)
    convolutions = [layer for layer in (*branch, *shortcut) if isinstance(layer, Convolution)]
    ends_in_sums = not any(layers[-1].rectifies for layers in (branch, shortcut) if layers)
    if len(convolutions) < len(branch) + len(shortcut) or len(branch) < 2 or len(shortcut) > 1 or not ends_in_sums:
        return Other(module)
    return Block(convolutions[: len(branch)], convolutions[-1] if shortcut else None)


def _averages(module: nn.Module) -> bool:
    return type(module) is nn.AdaptiveAvgPool2d and module.output_size in (1, (1, 1))
