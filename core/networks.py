"""What network families are built of."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

_VECTOR = 16
"""Numbers of fp32 that a CPU's vector holds, at most."""


class Body(nn.Sequential):
    """Layers that map images [n, C, H, W] to penultimate features [n, F]."""

    features: int
    """F."""

    def __init__(self, layers: Iterable[nn.Module], features: int) -> None:
        super().__init__(*layers)
        self.features = features


class Conv2d(nn.Conv2d):
    """torch's, but for what crashes there.

    The gradient for the weight of a 1x1 convolution with a stride, channels last, is written past its memory by oneDNN
    where there are fewer channels than fit a vector (uxlfoundation/oneDNN, issue 6035). There, the pixels that are read
    are taken first, and what is left has no stride.
    """

    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        stride = self.stride[0]
        if x.is_cpu and stride > 1 and self.kernel_size == (1, 1) and self.in_channels < _VECTOR:
            return functional.conv2d(x[:, :, ::stride, ::stride], weight, bias)
        return super()._conv_forward(x, weight, bias)  # type: ignore[no-any-return]


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the image's size at stride 1, and its batch normalisation."""
    # The convolution needs no bias: the normalisation behind it has one.
    return [Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(outputs)]


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


class PreactivationBlock(nn.Module):
    """x + branch(relu(norm(x))), of two 3x3 convolutions (He et al. 2016, identity mappings).

    Where it changes the image's size or width, the shortcut is a 1x1 convolution of relu(norm(x)), not of x.
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.branch = nn.Sequential(
            *convolution(inputs, width, stride=stride), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, bias=False)
        )
        same = inputs == width and stride == 1
        self.shortcut = None if same else Conv2d(inputs, width, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, C, H, W] to [n, C', H', W']."""
        before: torch.Tensor = self.before(x)
        onto: torch.Tensor = x if self.shortcut is None else self.shortcut(before)
        return onto + self.branch(before)  # type: ignore[no-any-return]


def depthwise(channels: int, stride: int = 1) -> list[nn.Module]:
    """A 3x3 convolution of each channel by itself, and its batch normalisation."""
    alone = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
    return [alone, nn.BatchNorm2d(channels)]


class Sum(nn.Module):
    """x + branch(x): nothing after the sum."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the shape of x."""
        return x + self.branch(x)  # type: ignore[no-any-return]


class Appended(nn.Module):
    """x with branch(x) as further channels: one layer of a dense block (Huang et al. 2017)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, C, H, W] to [n, C + those of the branch, H, W]."""
        return torch.cat([x, self.branch(x)], dim=1)


class Tokens(nn.Module):
    """Pixels as tokens: [n, C, H, W] to [n, H W, C]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Row by row."""
        return x.flatten(2).transpose(1, 2)


class Transposed(nn.Module):
    """What its inside does with channels, done with places."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, T, C] to the same shape."""
        return self.inside(x.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]


class MeanToken(nn.Module):
    """The mean over the tokens: [n, T, C] to [n, C]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each channel by itself."""
        return x.mean(1)
