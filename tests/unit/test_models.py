"""Classifiers: fresh weights, files, and every architecture in one training step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from core.cards import Shape
from core.errors import DamagedFile, SpecRefused, UnknownName
from core.images import Images, save_dataset
from core.models import Classifier, load_model, new_classifier, save_model
from sieve.specs import ArchitectureRef

COLOUR: Shape = (3, 32, 32)
GREY: Shape = (1, 8, 8)
CASES: list[tuple[str, dict[str, Any], Shape, int]] = [
    ("convnet", {}, GREY, 32),
    ("convnet", {"widths": [8, 16, 32], "strides": [1, 2, 1]}, GREY, 32),
    ("convnet", {"widths": [16, 32, 32, 64], "strides": [1, 2, 2, 1]}, (1, 16, 16), 64),
    ("convnet", {"widths": [5]}, (2, 7, 9), 5),
    ("resnet", {"depth": 10, "width": 4}, COLOUR, 32),
    ("resnet", {"depth": 18, "width": 4}, COLOUR, 32),
    ("resnet", {"depth": 18, "width": 2}, GREY, 16),
    ("resnet", {"depth": 26, "width": 3}, COLOUR, 24),
    ("resnet", {"depth": 34, "width": 4}, COLOUR, 32),
    ("resnet", {"depth": 50, "width": 4}, COLOUR, 128),
    ("resnet", {"blocks": [1, 1, 1, 1], "width": 16}, COLOUR, 128),
    ("resnet", {"blocks": [3, 3, 3], "width": 16}, COLOUR, 64),
    ("resnet", {"depth": 50, "blocks": [1, 2], "width": 4}, COLOUR, 32),
]


def fresh(
    name: str = "convnet", options: dict[str, Any] | None = None, shape: Shape = GREY, seed: int = 0
) -> Classifier:
    channels = shape[0]
    return new_classifier(
        ArchitectureRef(name=name, options=options or {}),
        shape,
        10,
        mean=[0.4] * channels,
        std=[0.3] * channels,
        seed=seed,
    )


def layers_with_weights(model: nn.Module) -> int:
    """As depth is counted: projections on the shortcut are left out."""
    return sum(
        isinstance(module, nn.Conv2d | nn.Linear) and ".shortcut." not in name for name, module in model.named_modules()
    )


@pytest.mark.parametrize(("name", "options", "shape", "width"), CASES)
def test_one_training_and_one_attack_step(name: str, options: dict[str, Any], shape: Shape, width: int) -> None:
    model = fresh(name, options, shape)
    draws = torch.Generator().manual_seed(0)
    x, y = torch.rand(16, *shape, generator=draws), torch.randint(10, (16,), generator=draws)
    x.requires_grad_()
    assert model.features(x).shape == (16, width)
    loss = cross_entropy(model(x), y)
    loss.backward()
    assert x.grad is not None
    assert bool((x.grad.flatten(1).norm(dim=1) > 0).all()), "every image can be attacked"
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.01 * parameter.grad)
        assert cross_entropy(model(x), y) < loss, "a step down the gradient"
        attacked = (x + 0.05 * x.grad.sign()).clamp(0, 1)
        assert cross_entropy(model(attacked), y) > cross_entropy(model(x), y), "a step up the gradient"


@pytest.mark.parametrize(("name", "options", "shape", "width"), CASES)
def test_every_architecture_survives_its_file(
    name: str, options: dict[str, Any], shape: Shape, width: int, tmp_path: Path
) -> None:
    model = fresh(name, options, shape)
    x = torch.rand(4, *shape)
    model(x)  # moves the running statistics, which belong to the model
    save_model(tmp_path / "m", model, ArchitectureRef(name=name, options=options), shape, 10)
    loaded = load_model(tmp_path / "m")
    assert not loaded.training
    assert torch.equal(loaded(x), model.eval()(x))
    save_model(tmp_path / "again", loaded, ArchitectureRef(name=name, options=options), shape, 10)
    assert (tmp_path / "m").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize("depth", [10, 18, 26, 34, 50])
def test_depth_counts_the_layers(depth: int) -> None:
    assert layers_with_weights(fresh("resnet", {"depth": depth, "width": 2}, COLOUR)) == depth


def test_resnets_have_the_size_that_they_are_known_for() -> None:
    """ResNet-18 and -50 for CIFAR-10, and the ResNet-20 of He et al. (0.27 M, there without projections)."""
    sizes = [
        sum(parameter.numel() for parameter in fresh("resnet", options, COLOUR).parameters())
        for options in ({"depth": 18}, {"depth": 50}, {"blocks": [3, 3, 3], "width": 16})
    ]
    assert sizes == [11_173_962, 23_520_842, 272_474]


def test_equal_arguments_give_equal_bits_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    first = fresh(seed=3).state_dict()
    torch.rand(5)
    second, other = fresh(seed=3).state_dict(), fresh(seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    torch.set_rng_state(before)
    fresh()
    assert torch.equal(torch.get_rng_state(), before)


def test_normalisation_is_inside_the_model() -> None:
    model = new_classifier(
        ArchitectureRef(name="convnet"), COLOUR, 10, mean=[0.1, 0.2, 0.3], std=torch.tensor([1.0, 2.0, 4.0]), seed=0
    )
    x = torch.rand(2, *COLOUR)
    expected = torch.stack([x[:, 0] - 0.1, (x[:, 1] - 0.2) / 2, (x[:, 2] - 0.3) / 4], dim=1)
    assert torch.allclose(model.normalise(x), expected)
    assert torch.equal(model(x), model.head(model.body(model.normalise(x))))
    assert "normalise.mean" in model.state_dict()
    assert "normalise.mean" not in dict(model.named_parameters())


@pytest.mark.parametrize(
    ("name", "options", "shape", "field"),
    [
        ("convnet", {"widths": []}, GREY, "/options/widths"),
        ("convnet", {"widths": [8, 0]}, GREY, "/options/widths/1"),
        ("convnet", {"widths": [8, 8], "strides": [1]}, GREY, "2 widths and 1 strides"),
        ("convnet", {"widths": [8, 8], "strides": [4, 4]}, GREY, "/strides"),
        ("resnet", {"depth": 19}, COLOUR, "/options/depth"),
        ("resnet", {"blocks": [1, 1, 1, 1, 1]}, GREY, "/blocks"),
        ("resnet", {"layers": 18}, COLOUR, "/options/layers"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, options: dict[str, Any], shape: Shape, field: str) -> None:
    with pytest.raises(SpecRefused, match=field):
        fresh(name, options, shape)


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'resnet'"):
        fresh("resnets")


def test_a_damaged_or_other_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, fresh(), ArchitectureRef(name="convnet"), GREY, 10)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFile, match="cut short"):
        load_model(path)
    save_dataset(path, Images(torch.rand(2, *GREY), torch.tensor([0, 1])), ("a", "b"))
    with pytest.raises(DamagedFile, match="is not a model"):
        load_model(path)
    save_model(path, fresh(options={"widths": [4]}), ArchitectureRef(name="convnet"), GREY, 10)
    with pytest.raises(DamagedFile, match="weights of convnet"):
        load_model(path)
