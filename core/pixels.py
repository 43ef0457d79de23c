"""What the pixels of a dataset are like: statistics of each channel, histograms, power spectrum.

Shape legend: n images, C channels, H rows, W columns; values in [0, 1].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.images import Images, blocks

BINS = 64
"""Of the histogram of pixel values."""
_STEP = 1 / 255
_CLOSE = 1e-6
"""A pixel this near to a multiple of 1/255 counts as one: floats read from 8 bits are no nearer."""


def pixel_statistics(images: Images) -> dict[str, Any]:
    """Of all pixels, in fp64.

    Returns:
        `mean`, `std`, `min`, `max`: one value a channel. `histogram`: `edges` [BINS + 1] and, a channel, `counts`.
        `at_zero`, `at_one`: fractions of the values. `eight_bits`: fraction that are multiples of 1/255.
    """
    channels = images.pixels.shape[1]
    sums, squares = torch.zeros(2, channels, dtype=torch.float64)
    least, most = torch.full((channels,), torch.inf), torch.full((channels,), -torch.inf)
    counts = torch.zeros(channels, BINS, dtype=torch.float64)
    flags = torch.zeros(3, dtype=torch.float64)
    for block in blocks(len(images)):
        x = images.batch(block).cpu()
        by_channel = x.transpose(0, 1).flatten(1)
        doubled = by_channel.double()
        sums += doubled.sum(1)
        squares += doubled.square().sum(1)
        least, most = torch.minimum(least, by_channel.amin(1)), torch.maximum(most, by_channel.amax(1))
        for channel, values in enumerate(by_channel):
            counts[channel] += torch.histc(values, BINS, 0.0, 1.0)
        whole = (x / _STEP).round() * _STEP
        flags += torch.stack([(x == 0).sum(), (x == 1).sum(), ((x - whole).abs() <= _CLOSE).sum()]).double()
    values = images.pixels.numel() / channels
    mean = sums / values
    at_zero, at_one, eight_bits = (flags / images.pixels.numel()).tolist()
    return {
        "mean": mean.tolist(),
        "std": (squares / values - mean.square()).clamp_min(0).sqrt().tolist(),
        "min": least.tolist(),
        "max": most.tolist(),
        "at_zero": at_zero,
        "at_one": at_one,
        "eight_bits": eight_bits,
        "histogram": {"edges": torch.linspace(0, 1, BINS + 1).tolist(), "counts": counts.long().tolist()},
    }


def spectrum(images: Tensor) -> list[float]:
    """The power of images [n, C, H, W] by spatial frequency, averaged over images, channels and directions.

    Returns:
        For k = 0, 1, … min(H, W) // 2 the mean of |F|^2 / (H W) over the frequencies whose length rounds to k cycles
        an image (of the shorter side), F the discrete Fourier transform of an image less its own mean.
    """
    height, width = images.shape[2:]
    rows = torch.fft.fftfreq(height).abs() * min(height, width)
    columns = torch.fft.fftfreq(width).abs() * min(height, width)
    radius = torch.sqrt(rows[:, None] ** 2 + columns[None, :] ** 2).round().long()
    power = torch.zeros(height, width, dtype=torch.float64)
    for block in blocks(len(images)):
        x = images[block].double().cpu()
        x = x - x.mean(dim=(2, 3), keepdim=True)
        power += (torch.fft.fft2(x).abs().square() / (height * width)).mean(1).sum(0)
    power /= len(images)
    return [power[radius == k].mean().item() for k in range(min(height, width) // 2 + 1)]
