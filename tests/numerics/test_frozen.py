"""The frozen view: the same function as the model, which no attack touches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from core import cudnn, onednn
from core.arithmetic import convolutions
from core.descent import Adversary
from core.frozen import FrozenModel
from core.fused import FusedBody
from core.images import Splits
from core.losses import cross_entropy
from core.models import Classifier, Normalise, new_classifier
from core.networks import Residual
from core.pgd import PGDAttack, gradient
from core.seeding import generator
from core.threat import NORMS, Ball
from sieve.specs import PGD, ArchitectureRef
from sieve.specs.base import Precision

NETWORKS = [
    ArchitectureRef(name="convnet", options={"widths": (8, 16)}),
    ArchitectureRef(name="convnet", options={"widths": (8, 16, 8), "strides": (2, 3, 1)}),
    ArchitectureRef(name="resnet", options={"depth": 18, "width": 4}),
    ArchitectureRef(name="resnet", options={"depth": 50, "width": 2}),
]


def lived_in(architecture: ArchitectureRef) -> Classifier:
    """A network whose normalisation layers have statistics, gains and shifts of their own."""
    model = new_classifier(architecture, (3, 16, 16), 10, mean=[0.4] * 3, std=[0.2] * 3, seed=0)
    for number, module in enumerate(model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            draws = generator(0, "statistics", number)
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5, generator=draws)
    return model.eval()


@pytest.mark.parametrize("architecture", NETWORKS, ids=str)
def test_the_view_computes_what_the_model_computes(architecture: ArchitectureRef) -> None:
    model = lived_in(architecture)
    view = FrozenModel(model, "exact")
    x = torch.rand(8, 3, 16, 16, generator=generator(0, "images"))
    torch.testing.assert_close(view.logits(x), model(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(view.features(x), model.features(x), rtol=1e-4, atol=1e-5)
    fast = FrozenModel(model, "fast").logits(x)
    assert fast.dtype == torch.float32
    assert (fast - model(x)).abs().max() < 0.05 * model(x).abs().max()


def slopes(logits: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return gradient(lambda z: cross_entropy(logits(z), torch.arange(len(x)) % 10), x)


def cosines(one: Tensor, other: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(one.flatten(1).double(), other.flatten(1).double())


@pytest.mark.parametrize("architecture", NETWORKS, ids=lambda network: f"{network.name} {network.options}")
@pytest.mark.parametrize("size", [16, 15])  # strides that divide the image and that do not
def test_the_views_gradient_is_the_models(architecture: ArchitectureRef, size: int) -> None:
    model = lived_in(architecture)
    x = torch.rand(8, 3, size, size, generator=generator(0, "images"))
    wanted = slopes(model, x)
    torch.testing.assert_close(slopes(FrozenModel(model, "exact").logits, x), wanted, rtol=1e-3, atol=1e-8)
    # (A network of two channels turns elsewhere where one ReLU rounds to the other side: not every image agrees.)
    assert cosines(slopes(FrozenModel(model, "fast").logits, x), wanted).median() > 0.98


def test_a_torch_without_these_operations_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lived_in(NETWORKS[2])
    x = torch.rand(8, 3, 16, 16, generator=generator(0, "images"))
    fused = slopes(FrozenModel(model, "exact").logits, x)
    monkeypatch.setattr(onednn, "available", lambda: False)
    plain = FrozenModel(model, "exact")
    torch.testing.assert_close(slopes(plain.logits, x), fused, rtol=1e-3, atol=1e-8)
    assert cosines(slopes(FrozenModel(model, "fast").logits, x), fused).median() > 0.98


def test_cudnns_operations_give_the_models_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, with what they stand for in their place: first as they are, then for shapes that cuDNN has none for."""
    called = []

    def convolution(x: Tensor, weight: Tensor, bias: Tensor, *how: Any) -> Tensor:
        called.append("alone")
        return functional.conv2d(x, weight, bias, *how).relu_()

    def onto(x: Tensor, weight: Tensor, z: Tensor, alpha: int, bias: Tensor, *how: Any) -> Tensor:
        called.append("onto")
        return functional.conv2d(x, weight, bias, *how).add_(z, alpha=alpha).relu_()

    def missing(*_: Any) -> Tensor:
        raise RuntimeError("FIND was unable to find an engine to execute this computation")

    def sum_and_cut(x: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return (one + other) * (x > 0)

    monkeypatch.setattr(onednn, "available", lambda: False)
    monkeypatch.setattr(cudnn, "_sum_and_cut", lambda: sum_and_cut)
    for architecture in (NETWORKS[2], ArchitectureRef(name="resnet", options={"depth": 50, "width": 8})):
        model = lived_in(architecture)
        x = torch.rand(8, 3, 16, 16, generator=generator(0, "images"))
        wanted = slopes(model, x)
        for one, two in ((convolution, onto), (missing, missing)):
            monkeypatch.setattr(torch, "cudnn_convolution_relu", one)
            monkeypatch.setattr(torch, "cudnn_convolution_add_relu", two)
            view = FrozenModel(model, "fast")
            view._fused = FusedBody(view._view.body, cudnn.FixedConvolution)
            assert cosines(slopes(view.logits, x), wanted).median() > 0.98
            assert cosines(slopes(view.logits, x), wanted).median() > 0.98
    assert set(called) == {"alone", "onto"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="cuDNN needs a GPU")
@pytest.mark.parametrize("architecture", NETWORKS, ids=lambda network: f"{network.name} {network.options}")
def test_the_views_gradient_is_the_models_on_a_gpu(architecture: ArchitectureRef) -> None:
    model = lived_in(architecture).cuda()
    x = torch.rand(8, 3, 16, 16, generator=generator(0, "images")).cuda()
    with convolutions("exact"):
        wanted = slopes(model, x)
        torch.testing.assert_close(slopes(FrozenModel(model, "exact").logits, x), wanted, rtol=1e-3, atol=1e-7)
    assert cosines(slopes(FrozenModel(model, "fast").logits, x), wanted).median() > 0.98


def test_wide_convolutions_on_small_images() -> None:
    """Their bfloat16 kernels are matrix products: 256 channels on 4x4 pixels, with and without stride."""
    model = lived_in(ArchitectureRef(name="resnet", options={"blocks": (1, 1), "width": 256}))
    x = torch.rand(8, 3, 8, 8, generator=generator(0, "images"))
    wanted = model(x)
    assert (FrozenModel(model, "fast").logits(x) - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert cosines(slopes(FrozenModel(model, "fast").logits, x), slopes(model, x)).min() > 0.95


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_the_view_gives_the_same_bits_again(precision: Precision) -> None:
    model = lived_in(NETWORKS[2])
    x = torch.rand(64, 3, 16, 16, generator=generator(0, "images"))
    once, again = (slopes(FrozenModel(model, precision).logits, x) for _ in range(2))
    assert torch.equal(once, again)
    view = FrozenModel(model, precision)
    slopes(view.logits, x[:5])  # weights are laid out for the first batch that comes
    view.refresh()
    assert torch.equal(slopes(view.logits, x), once)


class Odd(nn.Module):
    """A body that has what no fused operation stands for, between what they do stand for."""

    features = 12

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2, 1),
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
            nn.ReLU(),
            Residual(nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.GELU()), nn.Conv2d(8, 12, 1)),
            Residual(
                nn.Sequential(nn.Conv2d(12, 12, 5, padding=2), nn.ReLU(), nn.Conv2d(12, 12, 1), nn.BatchNorm2d(12)),
                nn.Conv2d(12, 12, 3, padding=1),
            ),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_what_is_not_fused_is_left_to_autograd() -> None:
    torch.manual_seed(0)
    body = Odd()
    for inside in (body, body.body):
        model = Classifier(Normalise(torch.full((3,), 0.4), torch.full((3,), 0.2)), inside, 12, 10).eval()
        x = torch.rand(8, 3, 16, 16, generator=generator(0, "images"))
        view = FrozenModel(model, "exact")
        torch.testing.assert_close(view.logits(x), model(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(slopes(view.logits, x), slopes(model, x), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("architecture", NETWORKS, ids=str)
def test_all_normalisation_behind_a_convolution_is_folded(architecture: ArchitectureRef) -> None:
    view = FrozenModel(lived_in(architecture), "exact")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in view._view.modules())


def test_the_view_follows_the_model_when_refreshed() -> None:
    model = lived_in(NETWORKS[0])
    view = FrozenModel(model, "exact")
    x = torch.rand(8, 3, 16, 16, generator=generator(0, "images"))
    before = view.logits(x)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(1.1)
    assert torch.equal(view.logits(x), before)
    view.refresh()
    torch.testing.assert_close(view.logits(x), model(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(view.logits(x), before, rtol=1e-2)


class Loose(nn.Module):
    """A network that is no Sequential: its convolution is read twice, so folding would be wrong."""

    features = 6

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.normalisation = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        raw = self.convolution(x)
        return torch.cat([raw, self.normalisation(raw).relu()], dim=1).mean(dim=(2, 3))


def test_what_cannot_be_folded_safely_is_left_alone() -> None:
    model = Classifier(Normalise(torch.full((3,), 0.4), torch.full((3,), 0.2)), Loose(), 6, 10)
    model(torch.rand(32, 3, 8, 8, generator=generator(0, "images")))  # moves the statistics
    model.eval()
    x = torch.rand(8, 3, 8, 8, generator=generator(1, "images"))
    torch.testing.assert_close(FrozenModel(model, "exact").logits(x), model(x))


def snapshot(model: Classifier) -> list[object]:
    return [
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        {name: (p.requires_grad, None if p.grad is None else p.grad.clone()) for name, p in model.named_parameters()},
        {name: module.training for name, module in model.named_modules()},
    ]


def test_attacks_leave_weights_gradients_and_modes_as_they_were(model: Classifier, digits: Splits) -> None:
    # A model in the middle of a training with a part of it frozen: every module's mode is its own business.
    model.train()
    first = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    first.eval()
    first.requires_grad_(False)
    x, y = digits.train.batch(slice(32)), digits.train.labels[:32]
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    before = snapshot(model)
    view = FrozenModel(model, "exact")
    attack = PGDAttack("margin", steps=3, relative_step=0.2)
    for restart in range(2):
        attack.perturb(view, y, Ball(NORMS["l2"], x, 0.5), restart, generator(0, "draws"))
    Adversary(PGD(epsilon=0.5, steps=3), model, "exact").attack(x, y, generator(0, "draws"))
    torch.testing.assert_close(snapshot(model), before, rtol=0, atol=0)
