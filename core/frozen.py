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

from core.fused import fuse
from core.models import Classifier
from sieve.specs import Precision


class FrozenModel:
    """A view of a classifier at its present weights. Images are [n, C, H, W] in [0, 1].

    Batch normalisation is folded into the convolution before it and weights are laid out channels last, which changes
    the last bits of fp32 ('exact'). 'fast' keeps the body in bfloat16 as well, where the device has instructions for
    it, and on a CPU fuses what follows each convolution into it. Normalisation and head stay in fp32.
    """

    def __init__(self, model: Classifier, precision: Precision) -> None:
        device = model.head.weight.device
        self._dtype = torch.bfloat16 if precision == "fast" and _computes_in_bfloat16(device) else torch.float32
        self._view = copy.deepcopy(model)
        self._folded = list(_fold(model, self._view))
        self._view.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._view.body.to(self._dtype)
        folded = {id(tensor) for _, _, both in self._folded for tensor in both.parameters()}
        source, view = model.state_dict(), self._view.state_dict(keep_vars=True)
        kept = [name for name, tensor in view.items() if id(tensor) not in folded]
        self._kept = [view[name] for name in kept], [source[name] for name in kept]
        if self._dtype == torch.bfloat16 and device.type == "cpu":
            self._view.body = fuse(self._view.body)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the model's weights and statistics as they are now, say after a training step."""
        torch._foreach_copy_(*self._kept)
        for convolution, normalisation, both in self._folded:
            _fold_into(both, convolution, normalisation)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features, fp32 [n, F]."""
        normalised = self._view.normalise(x).to(self._dtype, memory_format=torch.channels_last)
        return self._view.body(normalised).float()  # type: ignore[no-any-return]

    def logits(self, x: Tensor) -> Tensor:
        """Logits, fp32 [n, classes]."""
        return self._view.head(self.features(x))  # type: ignore[no-any-return]


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


def _fold_into(both: nn.Conv2d, convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> None:
    """(w * x + b - mean) * gain / sqrt(var + eps) + shift, as one convolution."""
    mean, variance = normalisation.running_mean, normalisation.running_var
    assert mean is not None
    assert variance is not None
    assert both.bias is not None
    scale = torch.rsqrt(variance + normalisation.eps)
    if normalisation.affine:
        scale = scale * normalisation.weight
    bias = -mean if convolution.bias is None else convolution.bias - mean
    torch.mul(convolution.weight, scale.reshape(-1, 1, 1, 1), out=both.weight)
    torch.mul(bias, scale, out=both.bias)
    if normalisation.affine:
        both.bias += normalisation.bias


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
