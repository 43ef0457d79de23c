"""Every network family: one step of training and one of an attack, named features, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from core.cards import ARCHITECTURES
from core.errors import SpecRefused
from core.frozen import FrozenModel
from core.losses import cross_entropy
from core.models import Classifier, load_model, new_classifier, save_model
from core.pgd import PGDAttack, gradient
from core.registry import parse_options
from core.seeding import generator
from core.sgd import SGD
from core.threat import NORMS, Ball
from sieve.specs import ArchitectureRef

Shape = tuple[int, int, int]
SMALL: list[tuple[str, dict[str, Any], Shape, int]] = [
    ("convnet", {"widths": (8, 16)}, (1, 8, 8), 16),
    ("resnet", {"blocks": (1, 1), "width": 8}, (3, 32, 32), 16),
    ("vgg", {"stages": (1, 1, 1), "width": 8}, (1, 8, 8), 32),
    ("vgg", {"stages": (1, 2), "width": 4, "batch_norm": False, "hidden": (20,)}, (3, 32, 32), 20),
    ("mobilenet", {"features": 32}, (1, 8, 8), 32),
    ("mobilenet", {}, (3, 32, 32), 64),
    ("mixer", {"patch": 2, "width": 32, "depth": 2}, (1, 8, 8), 32),
    ("mixer", {"depth": 2}, (3, 32, 32), 64),
    ("densenet", {"layers": (2, 2, 2), "growth": 4}, (1, 8, 8), 16),
    ("densenet", {"layers": (2, 2), "growth": 8}, (3, 32, 32), 32),
    ("mlp", {}, (1, 8, 8), 32),
    ("mlp", {"hidden": (16,), "batch_norm": False}, (3, 32, 32), 16),
    ("wide_resnet", {"depth": 10, "widening": 1}, (1, 8, 8), 64),
]
LARGE: list[tuple[str, dict[str, Any], Shape, int, int]] = [
    # Weights as published or counted elsewhere, with a head for 10 classes: torchvision's own for its ResNet-50, 36.5
    # million for WRN-28-10 in its paper.
    ("vgg", {}, (3, 32, 32), 512, 14_724_042),
    ("densenet", {}, (3, 32, 32), 1024, 6_956_298),
    ("wide_resnet", {}, (3, 32, 32), 640, 36_479_194),
    ("torchvision_resnet", {}, (3, 224, 224), 2048, 23_528_522),
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def fresh(name: str, options: dict[str, Any], shape: Shape) -> Classifier:
    reference = ArchitectureRef(name=name, options=options)
    channels = shape[0]
    return new_classifier(reference, shape, 10, mean=[0.4] * channels, std=[0.2] * channels, seed=0)


def test_every_architecture_is_among_the_cases() -> None:
    tried = {name for name, *_ in [*SMALL, *LARGE]}
    assert tried == {card.name for card in ARCHITECTURES.cards()}


def one_step_each(model: Classifier, shape: Shape, images: int) -> None:
    x, y = torch.rand(images, *shape, generator=generator(0, "images")), torch.arange(images) % 10
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    sgd = SGD(model, momentum=0.9, weight_decay=5e-4)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss = functional.cross_entropy(model(x), y)
    gradients = sgd.gradients(loss)
    assert all(bool(found.isfinite().all()) for found in gradients)
    sgd.step(gradients, 0.01)
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert not torch.equal(parameter, old), "every weight takes part"
    model.eval()
    view = FrozenModel(model, "exact")
    torch.testing.assert_close(view.features(x), model.features(x), rtol=1e-3, atol=1e-4)
    z = PGDAttack("cross_entropy", 1, 0.2).perturb(view, y, Ball(NORMS["l2"], x, 0.5), 0, generator(0, "attack"))
    assert float((z - x).flatten(1).norm(dim=1).max()) <= 0.5 * (1 + 1e-6)
    assert 0 <= float(z.min()) <= float(z.max()) <= 1
    with torch.no_grad():
        assert cross_entropy(model(z), y).mean() > cross_entropy(model(x), y).mean()


@pytest.mark.parametrize(("name", "options", "shape", "features"), SMALL, ids=str)
def test_a_step_of_training_and_of_an_attack(
    name: str, options: dict[str, Any], shape: Shape, features: int, tmp_path: Path
) -> None:
    model = fresh(name, options, shape)
    assert model.head.in_features == features
    one_step_each(model, shape, 16)
    save_model(tmp_path / "m", model, ArchitectureRef(name=name, options=options), shape, 10)
    x = torch.rand(4, *shape)
    torch.testing.assert_close(load_model(tmp_path / "m")(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize(("name", "options", "shape", "features", "weights"), LARGE, ids=str)
def test_large_networks_take_one_tiny_step(
    name: str, options: dict[str, Any], shape: Shape, features: int, weights: int
) -> None:
    model = fresh(name, options, shape)
    assert model.head.in_features == features
    assert sum(parameter.numel() for parameter in model.parameters()) == weights
    one_step_each(model, shape, 2)


@pytest.mark.full
def test_torchvisions_network_is_torchvisions() -> None:
    """Its own forward pass, weight for weight."""
    from torchvision.models import resnet50

    ours = fresh("torchvision_resnet", {}, (3, 64, 64)).eval()
    theirs = resnet50(num_classes=10).eval()
    names = [name for name in theirs.state_dict() if not name.startswith("fc.")]
    held = [tensor for name, tensor in ours.state_dict().items() if name.startswith("body.")]
    stem, rest = names[:6], names[6:]
    assert len(held) == len(names)
    theirs.load_state_dict(
        dict(zip([*stem, *rest], held, strict=True)) | {"fc.weight": ours.head.weight, "fc.bias": ours.head.bias}
    )
    x = torch.rand(2, 3, 64, 64, generator=generator(0, "images"))
    torch.testing.assert_close(ours(x), theirs(ours.normalise(x)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "shape", "pointer"),
    [
        ("vgg", {}, (1, 8, 8), "/stages"),
        ("mobilenet", {"widths": (4, 4), "blocks": (1,)}, (3, 32, 32), "/options"),
        ("mobilenet", {"widths": (4,) * 5, "blocks": (1,) * 5}, (1, 8, 8), "/widths"),
        ("mixer", {"patch": 3}, (1, 8, 8), "/patch"),
        ("densenet", {"layers": (1,) * 5}, (1, 8, 8), "/layers"),
        ("wide_resnet", {"depth": 12}, (3, 32, 32), "/options/depth"),
        ("wide_resnet", {}, (1, 2, 2), "/depth"),
        ("torchvision_resnet", {}, (3, 16, 16), "/depth"),
        ("torchvision_resnet", {}, (1, 224, 224), "/depth"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused_by_name(
    name: str, options: dict[str, Any], shape: Shape, pointer: str
) -> None:
    entry = ARCHITECTURES.get(name)
    with pytest.raises(SpecRefused) as refused:
        entry.check(parse_options(entry.options, options), shape)
    assert refused.value.pointer == pointer


def test_the_view_says_what_it_leaves_to_autograd() -> None:
    def left(name: str, **options: Any) -> tuple[str, ...]:
        return FrozenModel(fresh(name, options, (1, 8, 8)), "exact").left_to_autograd

    assert left("convnet") == ()
    assert left("resnet", blocks=(1, 1), width=4) == ()
    assert left("vgg", stages=(1, 1), width=4) == ("MaxPool2d",)
    assert left("mlp") == ("BatchNorm1d", "Flatten", "Linear", "ReLU")
    assert "Sum" in left("mixer", patch=2)


@pytest.mark.parametrize("name", ["vgg", "mobilenet", "mixer", "densenet", "mlp", "wide_resnet"])
def test_the_fast_view_points_where_the_model_does(name: str) -> None:
    options = next(options for one, options, shape, _ in SMALL if one == name and shape[0] == 1)
    model = fresh(name, options, (1, 8, 8))
    x = torch.rand(64, 1, 8, 8, generator=generator(0, "images"))
    model(x)  # moves the statistics
    model.eval()
    y = torch.arange(64) % 10
    wanted, found = (
        gradient(lambda z, logits=logits: cross_entropy(logits(z), y), x).flatten(1).double()
        for logits in (model, FrozenModel(model, "fast").logits)
    )
    assert functional.cosine_similarity(wanted, found).median() > 0.98


_NARROW_SHORTCUTS = """
import torch
from core.networks import basic_block
torch.set_num_threads(2)
for n in (3, 5, 57):
    for inputs, size in ((4, 16), (4, 32), (2, 32), (8, 16)):
        shortcut = basic_block(inputs, 2 * inputs, stride=2).shortcut.to(memory_format=torch.channels_last)
        for _ in range(10):
            x = torch.rand(n, inputs, size, size).contiguous(memory_format=torch.channels_last)
            weight = shortcut[0].weight
            (found,) = torch.autograd.grad(shortcut[0](x).square().sum(), weight)
        wide = torch.einsum("nihw,oi->nohw", x.double()[:, :, ::2, ::2], weight.double()[:, :, 0, 0])
        (wanted,) = torch.autograd.grad(wide.square().sum(), weight)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
"""


def test_narrow_shortcuts_have_their_gradient() -> None:
    """oneDNN writes past its memory there, see `core.networks.Conv2d`: a process that lets it do so is soon gone."""
    subprocess.run([sys.executable, "-c", _NARROW_SHORTCUTS], check=True)
