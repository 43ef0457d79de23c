"""The frozen view: the same function as the model, which no attack touches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.frozen import FrozenModel
from core.images import Splits
from core.models import Classifier, Normalise, new_classifier
from core.pgd import PGDAttack
from core.seeding import generator
from core.threat import NORMS, Ball
from core.training import Adversary
from sieve.specs import PGD, ArchitectureRef

NETWORKS = [
    ArchitectureRef(name="convnet", options={"widths": (8, 16)}),
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
