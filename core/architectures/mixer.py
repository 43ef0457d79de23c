"""MLP-Mixer (Tolstikhin et al. 2021): patches, and perceptrons that mix them by turns across places and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.cards import ArchitectureEntry, Shape
from core.errors import SpecRefused
from sieve.specs import Spec

if TYPE_CHECKING:
    from core.networks import Body


class MixerOptions(Spec):
    """Patches that do not overlap, each a token; blocks of two perceptrons; the mean over the tokens."""

    patch: int = Field(default=4, ge=1, le=64)
    """Side of a patch in pixels: it must divide the image's height and width. 2 suits 8x8 images, 4 those of 32x32."""
    width: int = Field(default=64, ge=1, le=4096)
    """Channels of a token: the penultimate layer's width."""
    depth: int = Field(default=4, ge=1, le=64)
    """Blocks."""
    token_hidden: int = Field(default=32, ge=1, le=8192)
    """Hidden units of the perceptron that mixes places."""
    channel_hidden: int = Field(default=128, ge=1, le=16_384)
    """Hidden units of the perceptron that mixes channels."""


def check(options: MixerOptions, shape: Shape) -> None:
    """Patches must fill the image."""
    _, height, width = shape
    if height % options.patch or width % options.patch:
        raise SpecRefused("/patch", f"patches of {options.patch}x{options.patch} do not fill a {width}x{height} image")


def build(options: MixerOptions, shape: Shape) -> Body:
    """The body: [n, C, H, W] to [n, width]."""
    from torch import nn

    from core.networks import Body, MeanToken, Sum, Tokens, Transposed

    channels, height, width = shape
    tokens = (height // options.patch) * (width // options.patch)

    def perceptron(outer: int, hidden: int) -> list[nn.Module]:
        return [nn.Linear(outer, hidden), nn.GELU(), nn.Linear(hidden, outer)]

    layers: list[nn.Module] = [nn.Conv2d(channels, options.width, options.patch, options.patch), Tokens()]
    for _ in range(options.depth):
        across_places = Transposed(nn.Sequential(*perceptron(tokens, options.token_hidden)))
        across_channels = perceptron(options.width, options.channel_hidden)
        layers.append(Sum(nn.Sequential(nn.LayerNorm(options.width), across_places)))
        layers.append(Sum(nn.Sequential(nn.LayerNorm(options.width), *across_channels)))
    return Body([*layers, nn.LayerNorm(options.width), MeanToken()], options.width)


ENTRY = ArchitectureEntry(
    name="mixer",
    summary="patches mixed by perceptrons across places and across channels (MLP-Mixer)",
    options=MixerOptions,
    check=check,
    build=build,
)
