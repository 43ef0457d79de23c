"""Classifiers: normalisation, a network's body and a linear head in one module; fresh ones, and their files.

Normalisation lives inside the model, so that images, attacks and epsilons stay in pixel values in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from core.cards import ARCHITECTURES, Shape
from core.errors import DamagedFile
from core.registry import parse_options
from core.seeding import derived_seed
from core.tensorfile import read_tensors, write_tensors
from sieve.specs import ArchitectureRef


class Normalise(nn.Module):
    """(x - mean) / std, for each channel."""

    mean: torch.Tensor
    """[1, C, 1, 1]."""
    std: torch.Tensor
    """[1, C, 1, 1]."""

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.to(torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("std", std.to(torch.float32).reshape(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, C, H, W] to the same shape."""
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """Images [n, C, H, W] in [0, 1] to logits [n, classes]."""

    def __init__(self, normalise: Normalise, body: nn.Module, features: int, classes: int) -> None:
        """`body` gives [n, features]."""
        super().__init__()
        self.normalise = normalise
        self.body = body
        self.head = nn.Linear(features, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The penultimate layer's output [n, F], the input of the last linear layer: g(x) in Ilyas et al. (2019)."""
        features: torch.Tensor = self.body(self.normalise(x))
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes]."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits


def new_classifier(
    architecture: ArchitectureRef,
    shape: Shape,
    classes: int,
    *,
    mean: Sequence[float] | torch.Tensor,
    std: Sequence[float] | torch.Tensor,
    seed: int,
) -> Classifier:
    """A classifier with fresh weights, in training mode on the CPU: the same bits for the same arguments.

    `mean` and `std` are those of the training images' channels, each [C]. The layers draw their weights by torch's own
    rules from the global CPU generator, which is seeded for them and put back as it was.

    Raises:
        UnknownName, SpecRefused: no such architecture, or not with these options or for this shape.
    """
    entry = ARCHITECTURES.get(architecture.name)
    options = parse_options(entry.options, architecture.options)
    entry.check(options, shape)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(seed, "weights"))
        body = entry.build(options, shape)
        normalise = Normalise(torch.as_tensor(mean), torch.as_tensor(std))
        return Classifier(normalise, body, int(body.features), classes)  # type: ignore[arg-type]


def save_model(path: Path, model: Classifier, architecture: ArchitectureRef, shape: Shape, classes: int) -> None:
    """Write a classifier as safetensors, with all that `load_model` needs. The bytes depend on the content alone."""
    entry = ARCHITECTURES.get(architecture.name)
    options = parse_options(entry.options, architecture.options)
    header = {
        "format": "model",
        "version": 1,
        "architecture": architecture.name,
        # Every option, so that another default in a later version changes nothing here.
        "options": options.model_dump(mode="json"),
        "shape": list(shape),
        "classes": classes,
    }
    write_tensors(path, model.state_dict(), header)


def load_model(path: Path) -> Classifier:
    """The classifier of a file of `save_model`, on the CPU and in evaluation mode.

    Raises:
        DamagedFile: it cannot be read, or is not a model.
        UnknownName: this server does not have its architecture.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != "model":
        raise DamagedFile(f"{path.name} is not a model")
    channels, height, width = header["shape"]
    model = new_classifier(
        ArchitectureRef(name=header["architecture"], options=header["options"]),
        (channels, height, width),
        header["classes"],
        mean=torch.zeros(channels),
        std=torch.ones(channels),
        seed=0,
    )
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise DamagedFile(f"{path.name} does not hold the weights of {header['architecture']}: {error}") from None
    return model.eval()
