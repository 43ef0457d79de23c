"""Common corruptions: damage that nobody chose, at three to five severities (after Hendrycks and Dietterich 2019).

Eight of their kinds that need no picture library, with severities of our own that suit images of 8 to 64 pixels: what
blurs or coarsens is measured in parts of the image's width, as two pixels are much of a digit and little of a photo.
They are no ImageNet-C, and its figures are no comparison.

Shape legend: images [n, C, H, W] in [0, 1], before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]

STRENGTHS: Mapping[str, tuple[float, float, float, float, float]] = {
    "gaussian_noise": (0.04, 0.08, 0.12, 0.18, 0.26),
    "shot_noise": (250.0, 100.0, 50.0, 30.0, 15.0),
    "impulse_noise": (0.01, 0.03, 0.06, 0.1, 0.17),
    "blur": (0.015, 0.025, 0.04, 0.055, 0.075),
    "pixelate": (0.9, 0.75, 0.6, 0.5, 0.4),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "fog": (0.1, 0.2, 0.3, 0.4, 0.5),
}
"""By severity 1 to 5: a standard deviation, photons at white, a share of values, a width and a size as parts of the
image's own, a factor, an amount, and the fog's share."""


def corrupted(name: str, severity: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """The images with one corruption of a severity from 1 to 5; its draws come from the generator."""
    return _CORRUPTIONS[name](x, STRENGTHS[name][severity - 1], generator).clamp(0, 1)


def _gaussian_noise(x: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    return x + sigma * torch.empty_like(x).normal_(generator=generator)


def _shot_noise(x: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    return torch.poisson(x * photons, generator=generator) / photons


def _impulse_noise(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    drawn = torch.empty_like(x).uniform_(generator=generator)
    return torch.where(drawn < share / 2, 0.0, torch.where(drawn < share, 1.0, x))


def _blur(x: Tensor, width: float, generator: torch.Generator) -> Tensor:
    """Gaussian, of a standard deviation of so many widths; the border is mirrored."""
    del generator
    sigma = width * x.shape[3]
    reach = min(max(1, round(3 * sigma)), min(x.shape[2:]) - 1)
    steps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-((steps / sigma) ** 2) / 2)
    weights /= weights.sum()
    channels = x.shape[1]
    padded = functional.pad(x, (reach, reach, reach, reach), mode="reflect")
    across = functional.conv2d(padded, weights.expand(channels, 1, 1, -1), groups=channels)
    return functional.conv2d(across, weights.reshape(-1, 1).expand(channels, 1, -1, 1), groups=channels)


def _pixelate(x: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """As large a part of its rows and columns, enlarged again without smoothing."""
    del generator
    small = [max(1, round(size * side)) for side in x.shape[2:]]
    return functional.interpolate(functional.interpolate(x, small, mode="area"), x.shape[2:], mode="nearest")


def _contrast(x: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    del generator
    mean = x.mean((2, 3), keepdim=True)
    return mean + factor * (x - mean)


def _brightness(x: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    del generator
    return x + amount


def _fog(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """White of a smooth random density, from a coarse grid of draws."""
    grid = torch.rand(len(x), 1, 4, 4, generator=generator, device=x.device)
    density = share * 2 * functional.interpolate(grid, x.shape[2:], mode="bilinear", align_corners=True)
    return x * (1 - density.clamp(0, 1)) + density.clamp(0, 1)


_CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "blur": _blur,
    "pixelate": _pixelate,
    "contrast": _contrast,
    "brightness": _brightness,
    "fog": _fog,
}
