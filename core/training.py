"""Training: standard or adversarial, one visible loop.

Every draw is a function of (seed, purpose, epoch), and checkpoints lie between epochs, so a resumed training goes on
as if nothing had happened: on a CPU bit for bit. Where memory runs out, gradients are accumulated over parts of each
batch from then on; the result says so, because batch normalisation then sees the statistics of the parts.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.arithmetic import convolutions
from core.augmentation import Augmentation
from core.context import Context, Inputs, Output, Result
from core.descent import Adversary, Descent
from core.errors import Diverged, SpecRefused
from core.images import BLOCK, Images, blocks, open_dataset
from core.memory import AtOnce, parts
from core.models import Classifier, new_classifier, save_model
from core.overfitting import chance, collapse, stuck_at_chance, watching
from core.schedules import relative_rates
from core.seeding import generator
from core.sgd import SGD
from core.streaming import Streamed
from core.training_state import Average, Epoch, Selection, TrainingState
from sieve.specs import Trades, TrainSpec

SAMPLE = 10_000
"""Images that statistics are taken of where reading all of them takes long; they are in random order by then."""
STUCK = "Stuck at chance: on its validation images the model does no better than always saying the commonest class."


def train(spec: TrainSpec, inputs: Inputs, context: Context, *, planned: int | None = None) -> Result:
    """Train a network from fresh random weights, and leave the chosen epoch's as `model.safetensors`.

    `planned` images of a batch, or all of them, go through the network at once; fewer where memory runs out.

    Raises:
        Diverged: a loss or a weight stopped being a number.
    """
    began = time.monotonic()
    training, validation, classes = _images(spec, inputs, context)
    _, channels, height, width = training.pixels.shape
    shape = channels, height, width
    mean, std = channel_statistics(training)
    model = new_classifier(spec.architecture, shape, classes, mean=mean, std=std, seed=spec.seed)
    model.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    augment = Augmentation(flip=spec.flip, crop_padding=spec.crop_padding)
    diverging = isinstance(spec.objective, Trades)
    adversary = None
    if spec.adversary is not None:
        adversary = Adversary(spec.adversary, model, spec.precision, diverging=diverging)
    optimiser = SGD(model, momentum=spec.momentum, weight_decay=spec.weight_decay)
    descent = Descent(model, optimiser, adversary, spec.objective)
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
        held_out = state.validated_at_once.fitting(validated, context)
        state.selection.consider(Epoch(epoch + 1, mean_loss, **held_out), state.average.model)
        _tell(context, state.selection.history, chance(validation.labels))
        context.progress("training", epoch + 1, spec.epochs)
        context.safe_point(epoch + 1, partial(state.checkpoint, epoch + 1))

    model.load_state_dict(state.selection.weights)
    path = context.scratch / "model.safetensors"
    save_model(path, model, spec.architecture, shape, classes)
    figures = _figures(spec, state, training, validation) | {"seconds": time.monotonic() - began}
    return Result(figures, (Output(path.name, path, "model", "application/octet-stream"),))


def _images(spec: TrainSpec, inputs: Inputs, context: Context) -> tuple[Images, Images, int]:
    """To train on and to validate on, on the device; and how many classes there are."""
    splits = open_dataset(spec.dataset, inputs, context.data_folder)
    training, validation = split_for_validation(splits.train, spec)
    if spec.validate_on is not None:
        validation = as_they_were(validation, open_dataset(spec.validate_on, inputs, context.data_folder).train)
    return training.to(context.device), validation.to(context.device), len(splits.classes)


def _tell(context: Context, history: list[Epoch], by_chance: float) -> None:
    """What the last epoch came to."""
    last = history[-1]
    for name, value in {
        "loss": last.loss,
        "validation": last.standard,
        "validation_robust": last.robust,
        "validation_few_steps": last.few_steps,
    }.items():
        if value is not None:
            context.metric(name, value, last.number)
    overfitted = collapse(history, by_chance)
    if overfitted is not None and overfitted.epoch == last.number:
        context.log(overfitted.sentence())


def _figures(spec: TrainSpec, state: TrainingState, training: Images, validation: Images) -> dict[str, Any]:
    chosen, overfitted = state.selection.chosen, collapse(state.selection.history, chance(validation.labels))
    assert chosen is not None
    stuck = stuck_at_chance(chosen.standard, validation.labels)
    cautions = _cautions(state.at_once)
    if overfitted is not None:
        cautions.append(overfitted.sentence())
    if stuck and not spec.permute_labels:  # the control is meant to be
        cautions.append(STUCK)
    return {
        "epochs": spec.epochs,
        "chosen_epoch": chosen.number,
        "learning_rate": spec.learning_rate,
        "score": None if chosen.standard is None else chosen.score,
        "validation": {"standard": chosen.standard, "robust": chosen.robust}
        | ({} if chosen.few_steps is None else {"few_steps": chosen.few_steps}),
        "stuck_at_chance": stuck,
        "catastrophic_overfitting": None if overfitted is None else asdict(overfitted),
        "train_images": len(training),
        "validation_images": len(validation),
        "loss": chosen.loss,
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "at_once": state.at_once.figures(),
        "cautions": cautions,
    }


def _cautions(at_once: AtOnce) -> list[str]:
    if not at_once.reduced:
        return []
    return [
        f"Memory ran out: gradients were accumulated over parts of at most {at_once.images} images, not taken of "
        f"{at_once.planned} at once. Batch normalisation saw the statistics of those parts."
    ]


def as_they_were(held_out: Images, source: Images) -> Images:
    """The images of `source` that some constructed ones were made from, with the labels they have there.

    Raises:
        SpecRefused: these were not made from any.
    """
    if "source_index" not in held_out.columns:
        raise SpecRefused("/validate_on", "the training dataset was not constructed from another one")
    index = held_out.columns["source_index"]
    if len(index) and int(index.max()) >= len(source):
        raise SpecRefused("/validate_on", "the training dataset was constructed from a larger one")
    return source.select(index)


def split_for_validation(images: Images, spec: TrainSpec) -> tuple[Images, Images]:
    """A training and a validation part, by a seeded permutation; with the labels permuted first where asked for."""
    if spec.permute_labels:
        shuffled = torch.randperm(len(images), generator=generator(spec.seed, "permuted labels"))
        images = Images(images.pixels, images.labels[shuffled], images.columns)
    order = torch.randperm(len(images), generator=generator(spec.seed, "validation"))
    held_out = math.ceil(spec.validation_fraction * len(images))
    return images.select(order[held_out:]), images.select(order[:held_out])


def channel_statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, fp32 [C] each; a constant channel's deviation counts as 1.

    Of images that stay files, those of the first `SAMPLE`.
    """
    if isinstance(images.pixels, Streamed):
        images = images.select(slice(SAMPLE))
    sums, squares = torch.zeros(2, images.pixels.shape[1], dtype=torch.float64, device=images.labels.device)
    for block in blocks(len(images)):
        x = images.batch(block).double()
        sums += x.mean(dim=(2, 3)).sum(0)
        squares += x.square().mean(dim=(2, 3)).sum(0)
    mean = sums / len(images)
    std = (squares / len(images) - mean.square()).clamp_min(0).sqrt()
    return mean.float().cpu(), torch.where(std > 1e-6, std, 1.0).float().cpu()


@torch.no_grad()
def validate(model: Classifier, images: Images, spec: TrainSpec, at_once: int) -> dict[str, float | None]:
    """What a model in evaluation mode reads right of the held-out images; None where there is nothing to say.

    `standard` as they are, `robust` under the training's adversary. Where that takes so few steps that another one
    watches it, `robust` is under that one, and `few_steps` under the training's own. At most `at_once` images go
    through it at once.
    """
    if not len(images):
        return dict.fromkeys(("standard", "robust", "few_steps"))
    watched = watching(spec.adversary)
    by = {"robust": spec.adversary} if watched is None else {"robust": watched, "few_steps": spec.adversary}
    adversaries = {name: Adversary(pgd, model, spec.precision) for name, pgd in by.items() if pgd is not None}
    right = dict.fromkeys(("standard", *adversaries), 0)
    for number, block in enumerate(blocks(len(images))):
        draws = {
            name: generator(spec.seed, "validation adversary", number, device=images.labels.device)
            for name in adversaries
        }
        for part in parts(block, at_once):
            x, y = images.batch(part), images.labels[part]
            right["standard"] += int((model(x).argmax(1) == y).sum())
            for name, adversary in adversaries.items():
                right[name] += int((model(adversary.attack(x, y, draws[name])).argmax(1) == y).sum())
    found: dict[str, float | None] = dict.fromkeys(("standard", "robust", "few_steps"))
    return found | {name: count / len(images) for name, count in right.items()}
