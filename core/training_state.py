"""All that changes during a training, and how it goes into a checkpoint and comes back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import torch
from torch import Tensor

from core.context import Checkpoint
from core.memory import AtOnce
from core.models import Classifier
from core.sgd import SGD


class Average:
    """The weights that a training offers: those of the model, or their exponential moving average.

    BatchNorm's running statistics are averaged with the same decay as the weights. The decay grows from 0 as
    (1 + step) / (10 + step) until it reaches the one asked for, so that the random initial weights are soon forgotten.
    """

    def __init__(self, live: Classifier, decay: float | None) -> None:
        self.model = copy.deepcopy(live).eval().requires_grad_(False)
        """In evaluation mode; up to date after `end_epoch`."""
        self._decay = decay
        own, other = self.model.state_dict(), live.state_dict()
        self._all = list(own.values()), list(other.values())
        floats = [name for name, tensor in own.items() if tensor.is_floating_point()]  # all but BatchNorm's counters
        self._floats = [own[name] for name in floats], [other[name] for name in floats]

    @torch.no_grad()
    def end_step(self, step: int) -> None:
        """Follow the model after its step number `step`, counted from 0 over the whole training."""
        if self._decay is not None:
            decay = min(self._decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(*self._floats, 1 - decay)

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Without averaging: take the model's weights over."""
        if self._decay is None:
            torch._foreach_copy_(*self._all)

    def is_finite(self) -> bool:
        """Is every weight and statistic a number?"""
        return bool(torch.stack([tensor.isfinite().all() for tensor in self._floats[0]]).all())


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch."""

    number: int
    """From 1."""
    loss: float
    """Mean over the epoch's steps."""
    standard: float | None
    """Accuracy on the validation images; None where there are none."""
    robust: float | None
    """The same under the training's adversary, or under the one that watches it; None where there is none."""
    few_steps: float | None = None
    """Under the training's adversary where another one watches it; see `core.overfitting`."""

    @property
    def score(self) -> float:
        """What the choice goes by: robust accuracy where there is one."""
        score = self.standard if self.robust is None else self.robust
        assert score is not None, "the choice of an epoch needs validation images"
        return score


@dataclass
class Selection:
    """The weights to keep: the best epoch's (the later of equals), or the last one's."""

    select: Literal["best", "last"]
    history: list[Epoch] = field(default_factory=list)
    chosen: Epoch | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    """Of the chosen epoch."""

    def consider(self, epoch: Epoch, model: Classifier) -> None:
        """Keep the model's weights if this epoch is to be preferred to all before it."""
        self.history.append(epoch)
        if self.chosen is None or self.select == "last" or epoch.score >= self.chosen.score:
            self.chosen = epoch
            self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}


@dataclass(frozen=True)
class TrainingState:
    """All that changes from epoch to epoch."""

    model: Classifier
    optimiser: SGD
    average: Average
    selection: Selection
    at_once: AtOnce
    """Images of a training's batch."""
    validated_at_once: AtOnce

    def checkpoint(self, epochs: int) -> Checkpoint:
        """After this many epochs."""
        parts: dict[str, Mapping[str, Tensor]] = {
            "model": self.model.state_dict(),
            "velocity": self.optimiser.velocity,
            "average": self.average.model.state_dict(),
            "chosen": self.selection.weights,
        }
        tensors = {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
        chosen = self.selection.chosen
        values = {
            "history": [asdict(epoch) for epoch in self.selection.history],
            "chosen": None if chosen is None else chosen.number,
            **self.at_once.values(),
            **self.validated_at_once.values(),
        }
        return Checkpoint(epochs, tensors, values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Stand where the checkpoint was taken."""

        def part(prefix: str) -> dict[str, Tensor]:
            start = prefix + "/"
            return {name[len(start) :]: t for name, t in checkpoint.tensors.items() if name.startswith(start)}

        self.model.load_state_dict(part("model"))
        self.average.model.load_state_dict(part("average"))
        for name, velocity in part("velocity").items():
            self.optimiser.velocity[name].copy_(velocity)
        self.at_once.restore(checkpoint.values)
        self.validated_at_once.restore(checkpoint.values)
        history = [Epoch(**epoch) for epoch in checkpoint.values["history"]]
        self.selection.history = history
        self.selection.chosen = history[checkpoint.values["chosen"] - 1]
        self.selection.weights = {
            name: tensor.to(self.model.head.weight.device) for name, tensor in part("chosen").items()
        }
