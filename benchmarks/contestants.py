"""The same attack by everybody: l2 PGD on the cross-entropy from the image itself, all steps for all images.

Each contestant is given images [n, C, H, W] in [0, 1] and labels int64 [n], and gives attacked images. The peers are
used as they are documented, without what they do before and after the steps where it can be left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import foolbox
import torch
import torchattacks
from art.attacks.evasion import ProjectedGradientDescentPyTorch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from core.frozen import FrozenModel
from core.models import Classifier
from core.pgd import PGDAttack
from core.threat import NORMS, Ball

Attack = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Setting:
    """How hard to attack."""

    epsilon: float
    steps: int
    relative_step: float
    classes: int

    @property
    def step(self) -> float:
        """Length of a step in pixel values."""
        return self.relative_step * self.epsilon


class Counted(nn.Module):
    """Logits that count how many images went forward, and for how many a gradient came back."""

    def __init__(self, logits: Callable[[Tensor], Tensor], model: Classifier) -> None:
        """`logits` does the work, of the model itself or of a view of it; peers look at the model's parameters."""
        super().__init__()
        self.model = model
        self._logits = logits
        self.forwards = self.backwards = 0
        self.eval()  # torchattacks puts a model back into the mode that it found, with all that is in it

    def forward(self, x: Tensor) -> Tensor:
        """[n, C, H, W] to [n, classes]."""
        self.forwards += len(x)
        if x.requires_grad:
            x.register_hook(self._came_back)  # type: ignore[no-untyped-call]
        return self._logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """As `core.frozen.FrozenModel` has it."""
        return self(x)  # type: ignore[no-any-return]

    def _came_back(self, gradient: Tensor) -> Tensor:
        self.backwards += len(gradient)
        return gradient.contiguous()  # as peers lay out images; ours come channels last


def ours(view: FrozenModel | Counted, setting: Setting) -> Attack:
    """PGD of this project."""
    attack = PGDAttack("cross_entropy", setting.steps, setting.relative_step)
    unused = torch.Generator()  # the first try starts at the image

    def run(x: Tensor, y: Tensor) -> Tensor:
        return attack.perturb(view, y, Ball(NORMS["l2"], x, setting.epsilon), 0, unused)  # type: ignore[arg-type]

    return run


def torchattacks_pgd(model: nn.Module, setting: Setting) -> Attack:
    """torchattacks.PGDL2."""
    return torchattacks.PGDL2(  # type: ignore[no-any-return]
        model, eps=setting.epsilon, alpha=setting.step, steps=setting.steps, random_start=False
    )


def foolbox_pgd(model: nn.Module, setting: Setting) -> Attack:
    """foolbox.attacks.L2ProjectedGradientDescentAttack; `run` leaves out the judging of the result."""
    attack = foolbox.attacks.L2ProjectedGradientDescentAttack(  # type: ignore[attr-defined]
        abs_stepsize=setting.step, steps=setting.steps, random_start=False
    )
    wrapped = foolbox.PyTorchModel(  # type: ignore[attr-defined]
        model, bounds=(0, 1), device=next(model.parameters()).device
    )

    def run(x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = attack.run(wrapped, x, foolbox.criteria.Misclassification(y), epsilon=setting.epsilon)
        return found

    return run


def art_pgd(model: nn.Module, setting: Setting) -> Attack:
    """art.attacks.evasion.ProjectedGradientDescentPyTorch."""
    device = next(model.parameters()).device
    made: dict[tuple[int, ...], Any] = {}

    def run(x: Tensor, y: Tensor) -> Tensor:
        if x.shape not in made:
            estimator = PyTorchClassifier(
                model,
                loss=nn.CrossEntropyLoss(),
                input_shape=tuple(x.shape[1:]),
                nb_classes=setting.classes,
                clip_values=(0.0, 1.0),
                device_type="gpu" if device.type == "cuda" else "cpu",
            )
            made[x.shape] = ProjectedGradientDescentPyTorch(
                estimator,
                norm=2,
                eps=setting.epsilon,
                eps_step=setting.step,
                max_iter=setting.steps,
                num_random_init=0,
                batch_size=len(x),
                verbose=False,
            )
        found = made[x.shape].generate(x.cpu().numpy(), nn.functional.one_hot(y, setting.classes).cpu().numpy())
        return torch.from_numpy(found).to(device)

    return run


PEERS: dict[str, Callable[[nn.Module, Setting], Attack]] = {
    "torchattacks": torchattacks_pgd,
    "foolbox": foolbox_pgd,
    "art": art_pgd,
}


def in_batches(attack: Attack, x: Tensor, y: Tensor, batch: int) -> Tensor:
    """All images, so many at once."""
    return torch.cat([attack(x[at : at + batch], y[at : at + batch]) for at in range(0, len(x), batch)])
