"""Planted ground truth: how the images are painted, and two decoders, free of any network, that read them back.

Each class has a *shape*, a grating of 1.5 periods at the class's angle, strong and therefore robust; and a *pattern*,
a weak grating of the class's own high frequency, which an l2 perturbation of about 0.12 turns into another class's.
"""

from __future__ import annotations

import math

import torch

from core.datasets.planted import CLASSES, SIZE, PlantedOptions
from core.images import Images, Splits
from core.seeding import generator

SHAPE_PERIODS = 1.5
FREQUENCIES = ((7, 2), (2, 7), (6, 5), (5, -6))
"""Each class's pattern, in periods to the right and down. All are bins of the discrete Fourier transform, so the four
are orthogonal whatever their phases."""
_LOW = 3.0
"""Up to this many periods a frequency is low: above the shape's, below every pattern's."""


def planted(options: PlantedOptions) -> Splits:
    """The dataset: float32 pixels, both features say the label, the classes have equal shares."""

    def split(name: str, n: int) -> Images:
        draws = generator(options.seed, f"planted {name}")
        labels = torch.randperm(n, generator=draws) % len(CLASSES)
        return Images(paint(labels, labels, options, draws), labels)

    return Splits(split("train", options.train_images), split("test", options.test_images), CLASSES)


def cue_conflict(options: PlantedOptions, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images whose shape says one class and whose pattern says another (after Geirhos et al. 2019).

    Returns:
        float32 [n, 1, 16, 16] in [0, 1], the classes of the shapes, int64 [n], and those of the patterns, int64 [n].
    """
    draws = generator(options.seed, "planted cue conflict")
    shapes = torch.randint(len(CLASSES), (n,), generator=draws)
    patterns = (shapes + torch.randint(1, len(CLASSES), (n,), generator=draws)) % len(CLASSES)
    return paint(shapes, patterns, options, draws), shapes, patterns


def paint(
    shapes: torch.Tensor, patterns: torch.Tensor, options: PlantedOptions, draws: torch.Generator
) -> torch.Tensor:
    """Images with the shapes and patterns of these classes (int64 [n] each): float32 [n, 1, 16, 16] in [0, 1]."""
    n = len(shapes)
    angles = shapes * (math.pi / len(CLASSES)) + options.angle_spread * torch.randn(n, generator=draws)
    low = SHAPE_PERIODS * torch.stack([angles.cos(), angles.sin()], dim=1)
    high = torch.tensor(FREQUENCIES, dtype=torch.float32)[patterns]
    shape = options.shape_amplitude * _grating(low, torch.rand(n, generator=draws))
    pattern = options.pattern_amplitude * _grating(high, torch.rand(n, generator=draws))
    noise = options.noise * torch.randn(n, SIZE, SIZE, generator=draws)
    return (0.5 + shape + pattern + noise).clamp(0, 1).unsqueeze(1)


def _grating(frequencies: torch.Tensor, phases: torch.Tensor) -> torch.Tensor:
    """sin 2 pi (f . (x, y) + phase): [n, 2] periods an image and [n] turns to [n, 16, 16]."""
    place = torch.arange(SIZE) / SIZE
    right, down = (frequency[:, None, None] for frequency in frequencies.unbind(1))
    return torch.sin(2 * math.pi * (right * place + down * place[:, None] + phases[:, None, None]))


def read_shape(images: torch.Tensor) -> torch.Tensor:
    """The class whose angle is nearest to the orientation of the low-frequency energy: [n, 1, 16, 16] to int64 [n].

    The orientation is the mean direction of the energy in the Fourier plane, with angles doubled, since a wave that
    runs to the left is the wave that runs to the right. Also reads perturbations: the mean does not matter.
    """
    centred = images[:, 0] - images.mean(dim=(1, 2, 3))[:, None, None]
    # Padding to twice the size reads the energy at half periods, too.
    energy = torch.fft.fft2(centred, s=(2 * SIZE, 2 * SIZE)).abs() ** 2
    periods = torch.fft.fftfreq(2 * SIZE, 1 / SIZE)
    down, right = torch.meshgrid(periods, periods, indexing="ij")
    energy = energy * (right**2 + down**2 <= _LOW**2)
    doubled = 2 * torch.atan2(down, right)
    angle = torch.atan2((energy * doubled.sin()).sum((1, 2)), (energy * doubled.cos()).sum((1, 2))) / 2
    return (angle / (math.pi / len(CLASSES))).round().long() % len(CLASSES)


def read_pattern(images: torch.Tensor) -> torch.Tensor:
    """The class whose frequency is the strongest of the four: [n, 1, 16, 16] to int64 [n]. Also reads perturbations."""
    return _strengths(images).argmax(dim=1)


def pattern_radius(images: torch.Tensor) -> torch.Tensor:
    """Length of the shortest l2 perturbation that makes `read_pattern` read another class: [n, 1, 16, 16] to [n].

    The gratings are orthogonal, so it lowers the strongest and raises the second as much, until they are equal.
    """
    strongest, second = _strengths(images).topk(2, dim=1).values.unbind(1)
    return (strongest - second) / math.sqrt(2)


def _strengths(images: torch.Tensor) -> torch.Tensor:
    """l2 norm of the part of each image that is a grating of each class's frequency, whatever its phase: [n, 4]."""
    right, down = torch.tensor(FREQUENCIES).unbind(1)
    # A real wave has two coefficients of equal size, in a transform that keeps norms.
    strengths: torch.Tensor = torch.fft.fft2(images[:, 0], norm="ortho")[:, down, right].abs()
    return math.sqrt(2) * strengths
