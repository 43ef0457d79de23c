"""Training: standard or adversarial, one visible loop.

Every draw is a function of (seed, purpose, epoch), and checkpoints lie between epochs, so a resumed training goes on
as if nothing had happened: on a CPU bit for bit. Where memory runs out, gradients are accumulated over parts of each
batch from then on; the result says so, because batch normalisation then sees the statistics of the parts.
"""

from __future__ import annotations

import math
import time
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from core.arithmetic import convolutions
from core.augmentation import Augmentation
from core.context import Context, Inputs, Output, Result
from core.errors import Diverged
from core.frozen import FrozenModel
from core.images import BLOCK, Images, blocks, open_dataset
from core.memory import AtOnce, parts
from core.models import Classifier, new_classifier, save_model
from core.pgd import PGDAttack
from core.schedules import relative_rates
from core.seeding import generator
from core.sgd import SGD
from core.threat import NORMS, Ball
from core.training_state import Average, Epoch, Selection, TrainingState
from sieve.specs import PGD, Precision, TrainSpec


def train(spec: TrainSpec, inputs: Inputs, context: Context, *, planned: int | None = None) -> Result:
    """Train a network from fresh random weights, and leave the chosen epoch's as `model.safetensors`.

    `planned` images of a batch, or all of them, go through the network at once; fewer where memory runs out.

    Raises:
        Diverged: a loss or a weight stopped being a number.
    """
    began = time.monotonic()
    splits = open_dataset(spec.dataset, inputs, context.data_folder)
    training, validation = (part.to(context.device) for part in split_for_validation(splits.train, spec))
    _, channels, height, width = training.pixels.shape
    shape = channels, height, width
    classes = len(splits.classes)
    mean, std = channel_statistics(training)
    model = new_classifier(spec.architecture, shape, classes, mean=mean, std=std, seed=spec.seed)
    model.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    augment = Augmentation(flip=spec.flip, crop_padding=spec.crop_padding)
    adversary = None if spec.adversary is None else Adversary(spec.adversary, model, spec.precision)
    optimiser = SGD(model, momentum=spec.momentum, weight_decay=spec.weight_decay)
    descent = Descent(model, optimiser, adversary)
    steps = max(1, len(training) // spec.batch_size)  # of an epoch; a remainder is left out, of other images each time
    rates = relative_rates(spec.schedule, spec.epochs * steps)
    at_once = AtOnce(planned or spec.batch_size), AtOnce(BLOCK, "validated_at_once")
    state = TrainingState(model, optimiser, Average(model, spec.ema_decay), Selection(spec.select), *at_once)
    checkpoint = context.resume()
    if checkpoint is not None:
        state.restore(checkpoint)

    for epoch in range(0 if checkpoint is None else checkpoint.step, spec.epochs):
        order = torch.randperm(len(training), generator=generator(spec.seed, "order", epoch)).to(context.device)
        augmentation_draws = generator(spec.seed, "augmentation", epoch)
        adversary_draws = generator(spec.seed, "adversary", epoch, device=context.device)
        total_loss = torch.zeros((), device=context.device)
        model.train()
        for step, batch in enumerate(torch.split(order, spec.batch_size)[:steps], start=epoch * steps):
            context.progress("training", epoch, spec.epochs)
            x, y = augment(training.batch(batch), augmentation_draws), training.labels[batch]
            descent.begin(x, y, adversary_draws)
            with convolutions(spec.precision):
                gradients, loss = state.at_once.fitting(descent.gradients, context)
            optimiser.step(gradients, spec.learning_rate * rates[step])
            state.average.end_step(step)
            total_loss += loss
        state.average.end_epoch()

        mean_loss = total_loss.item() / steps
        if not math.isfinite(mean_loss) or not state.average.is_finite():
            raise Diverged(f"loss {mean_loss:g} in epoch {epoch + 1}: a smaller learning_rate may help")
        validated = partial(validate, state.average.model, validation, spec)
        standard, robust = state.validated_at_once.fitting(validated, context)
        state.selection.consider(Epoch(epoch + 1, mean_loss, standard, robust), state.average.model)
        for name, value in {"loss": mean_loss, "validation": standard, "validation_robust": robust}.items():
            if value is not None:
                context.metric(name, value, epoch + 1)
        context.progress("training", epoch + 1, spec.epochs)
        context.safe_point(epoch + 1, partial(state.checkpoint, epoch + 1))

    chosen = state.selection.chosen
    assert chosen is not None
    model.load_state_dict(state.selection.weights)
    path = context.scratch / "model.safetensors"
    save_model(path, model, spec.architecture, shape, classes)
    return Result(
        figures={
            "epochs": spec.epochs,
            "chosen_epoch": chosen.number,
            "validation": {"standard": chosen.standard, "robust": chosen.robust},
            "train_images": len(training),
            "validation_images": len(validation),
            "loss": chosen.loss,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "at_once": state.at_once.figures(),
            "cautions": _cautions(state.at_once),
            "seconds": time.monotonic() - began,
        },
        outputs=(Output(path.name, path, "model", "application/octet-stream"),),
    )


class Adversary:
    """PGD against a model that changes from batch to batch.

    The attack sees the model in evaluation mode: it climbs the loss of the classifier that will be used, and its
    forward passes do not move BatchNorm's statistics.
    """

    def __init__(self, pgd: PGD, model: Classifier, precision: Precision) -> None:
        self._view = FrozenModel(model, precision)
        self._attack = PGDAttack("cross_entropy", pgd.steps, pgd.relative_step)
        self._pgd = pgd

    def refresh(self) -> None:
        """Attack the model as it is now."""
        self._view.refresh()

    def attack(self, x: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
        """Attacked images, of the shape of `x`, for the model as it was at the last `refresh`."""
        ball = Ball(NORMS[self._pgd.norm], x, self._pgd.epsilon)
        return self._attack.perturb(self._view, labels, ball, int(self._pgd.random_start), draws)


class Descent:
    """The gradients of one batch after the other, of its images as they are or attacked."""

    def __init__(self, model: Classifier, optimiser: SGD, adversary: Adversary | None) -> None:
        self._model, self._optimiser, self._adversary = model, optimiser, adversary
        self._statistics = list(model.buffers())
        self._kept = [statistic.clone() for statistic in self._statistics]

    def begin(self, x: Tensor, labels: Tensor, draws: torch.Generator) -> None:
        """With a batch [n, C, H, W] and its labels int64 [n]; `draws` are the adversary's."""
        self._x, self._labels, self._draws = x, labels, draws
        # What is broken off for want of memory begins again from here.
        self._drawn = draws.get_state()
        torch._foreach_copy_(self._kept, self._statistics)

    def gradients(self, at_once: int) -> tuple[list[Tensor], Tensor]:
        """For every parameter those of the batch's mean loss, and that loss, over parts of at most `at_once` images."""
        self._draws.set_state(self._drawn)
        torch._foreach_copy_(self._statistics, self._kept)
        if self._adversary is not None:
            self._adversary.refresh()
        total: list[Tensor] = []
        total_loss = torch.zeros((), device=self._x.device)
        for part in parts(slice(0, len(self._x)), at_once):
            x, y = self._x[part], self._labels[part]
            if self._adversary is not None:
                x = self._adversary.attack(x, y, self._draws)
            loss = functional.cross_entropy(self._model(x), y, reduction="sum") / len(self._x)
            gradients = self._optimiser.gradients(loss)
            if total:
                torch._foreach_add_(total, gradients)
            else:
                total = gradients
            total_loss += loss.detach()
        return total, total_loss


def _cautions(at_once: AtOnce) -> list[str]:
    if not at_once.reduced:
        return []
    return [
        f"Memory ran out: gradients were accumulated over parts of at most {at_once.images} images, not taken of "
        f"{at_once.planned} at once. Batch normalisation saw the statistics of those parts."
    ]


def split_for_validation(images: Images, spec: TrainSpec) -> tuple[Images, Images]:
    """A training and a validation part, by a seeded permutation; with the labels permuted first where asked for."""
    if spec.permute_labels:
        shuffled = torch.randperm(len(images), generator=generator(spec.seed, "permuted labels"))
        images = Images(images.pixels, images.labels[shuffled])
    order = torch.randperm(len(images), generator=generator(spec.seed, "validation"))
    held_out = math.ceil(spec.validation_fraction * len(images))
    return images.select(order[held_out:]), images.select(order[:held_out])


def channel_statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, fp32 [C] each; a constant channel's deviation counts as 1."""
    sums, squares = torch.zeros(2, images.pixels.shape[1], dtype=torch.float64, device=images.pixels.device)
    for block in blocks(len(images)):
        x = images.batch(block).double()
        sums += x.mean(dim=(2, 3)).sum(0)
        squares += x.square().mean(dim=(2, 3)).sum(0)
    mean = sums / len(images)
    std = (squares / len(images) - mean.square()).clamp_min(0).sqrt()
    return mean.float().cpu(), torch.where(std > 1e-6, std, 1.0).float().cpu()


@torch.no_grad()
def validate(model: Classifier, images: Images, spec: TrainSpec, at_once: int) -> tuple[float | None, float | None]:
    """Accuracy, and accuracy under the training's adversary (None without one), of a model in evaluation mode.

    At most `at_once` images go through it at once.
    """
    if not len(images):
        return None, None
    standard = robust = 0
    adversary = None if spec.adversary is None else Adversary(spec.adversary, model, spec.precision)
    for number, block in enumerate(blocks(len(images))):
        draws = generator(spec.seed, "validation adversary", number, device=images.pixels.device)
        for part in parts(block, at_once):
            x, y = images.batch(part), images.labels[part]
            standard += int((model(x).argmax(1) == y).sum())
            if adversary is not None:
                robust += int((model(adversary.attack(x, y, draws)).argmax(1) == y).sum())
    return standard / len(images), None if adversary is None else robust / len(images)
