"""A frozen view of a model: what attacks and syntheses search with.

The view is a copy in evaluation mode whose parameters want no gradient. So nothing that runs on it can move the
model's BatchNorm statistics, collect gradients in its weights or leave its modules in another mode. The view only
*searches*: what is found is judged by the model itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from core.fused import FusedBody, fixed_convolution
from core.models import Classifier
from sieve.specs import Precision


class FrozenModel:
    """A view of a classifier at its present weights. Images are [n, C, H, W] in [0, 1].

    Batch normalisation is folded into the convolution before it, as are the standard deviations that images are divided
    by; weights are laid out channels last; on a CPU what follows a convolution is fused into it. That changes the last
    bits of fp32 ('exact'). 'fast' keeps the body in bfloat16 as well, where the device has instructions for it. Means
    are subtracted and the head is computed in fp32.
    """

    def __init__(self, model: Classifier, precision: Precision) -> None:
        device = model.head.weight.device
        self._dtype = torch.bfloat16 if precision == "fast" and _computes_in_bfloat16(device) else torch.float32
        self._view = copy.deepcopy(model)
        self._folded = list(_fold(model, self._view))
        self._view.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._view.body.to(self._dtype)
        for module in self._view.body.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.float()  # not folded: its statistics keep their digits, whatever it is applied to
        folded = {id(tensor) for _, _, both in self._folded for tensor in both.parameters()}
        source, view = model.state_dict(), self._view.state_dict(keep_vars=True)
        kept = [name for name, tensor in view.items() if id(tensor) not in folded]
        self._kept = [view[name] for name in kept], [source[name] for name in kept]
        first = self._folded[0][2] if self._folded else None
        self._divides = not (type(self._view.body).forward is nn.Sequential.forward and self._view.body[0] is first)  # type: ignore[index]
        convolution = fixed_convolution(device)
        self._fused = None if convolution is None else FusedBody(self._view.body, convolution)
        self.refresh()

    @property
    def reduced(self) -> bool:
        """Does it compute in less than fp32? `fast` asks for it, and a device may not have it."""
        return self._dtype != torch.float32

    @property
    def left_to_autograd(self) -> tuple[str, ...]:
        """Sorts of modules that no fused operation stands for: right, but not faster than the model itself.

        Empty where all is fused. Where this torch has no fused operations for the device: the body.
        """
        return (type(self._view.body).__name__,) if self._fused is None else self._fused.left_to_autograd

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return self._view.head.out_features

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the model's weights and statistics as they are now, say after a training step."""
        torch._foreach_copy_(*self._kept)
        for at, (convolution, normalisation, both) in enumerate(self._folded):
            std = self._view.normalise.std if at == 0 and not self._divides else None
            _fold_into(both, convolution, normalisation, divided_by=std)
        if self._fused is not None:
            self._fused.refresh()

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features, fp32 [n, F]."""
        normalise, like = self._view.normalise, x[:1]
        # Spread over one image, laid out as x is: three numbers for each pixel are slow to go through.
        x = x.contiguous(memory_format=torch.channels_last) - _laid_out(normalise.mean, like)
        if self._divides:
            x = x / _laid_out(normalise.std, like)
        body = self._view.body if self._fused is None else self._fused
        return body(x.to(self._dtype)).float()  # type: ignore[no-any-return]

    def logits(self, x: Tensor) -> Tensor:
        """Logits, fp32 [n, classes]."""
        return self._view.head(self.features(x))  # type: ignore[no-any-return]


def _laid_out(channels: Tensor, like: Tensor) -> Tensor:
    """[1, C, 1, 1] to [1, C, H, W], channels last."""
    return channels.expand_as(like).contiguous(memory_format=torch.channels_last)


def _fold(source: nn.Module, view: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]]:
    """Put one convolution in the place of each convolution and normalisation that follow each other in a Sequential.

    There, and only there, it is certain that nothing else reads what the convolution gives. Yields the two of the
    source and the one of the view, whose weights are still to be filled in.
    """
    for name, module in source.named_modules():
        if type(module).forward is not nn.Sequential.forward:
            continue
        mirrored = view.get_submodule(name)
        assert isinstance(mirrored, nn.Sequential)
        for at, (first, second) in enumerate(pairwise(module)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d) and second.running_mean is not None:
                both = copy.deepcopy(first)
                both.bias = nn.Parameter(torch.empty_like(second.running_mean))
                mirrored[at], mirrored[at + 1] = both, nn.Identity()
                yield first, second, both


def _fold_into(
    both: nn.Conv2d, convolution: nn.Conv2d, normalisation: nn.BatchNorm2d, *, divided_by: Tensor | None
) -> None:
    """(w * (x / divided_by) + b - mean) * gain / sqrt(var + eps) + shift, as one convolution. [1, in, 1, 1] divides."""
    mean, variance = normalisation.running_mean, normalisation.running_var
    assert mean is not None
    assert variance is not None
    assert both.bias is not None
    scale = torch.rsqrt(variance + normalisation.eps)
    if normalisation.affine:
        scale = scale * normalisation.weight
    bias = -mean if convolution.bias is None else convolution.bias - mean
    factor = scale.reshape(-1, 1, 1, 1)
    torch.mul(convolution.weight, factor if divided_by is None else factor / divided_by, out=both.weight)
    torch.mul(bias, scale, out=both.bias)
    if normalisation.affine:
        both.bias += normalisation.bias


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
