"""Training without labels: SimCLR (Chen et al. 2020, arXiv 2002.05709) on small images.

Each image is seen in two views, and each view is to be told from all views of other images. Every draw is a function of
(seed, purpose, epoch), and checkpoints lie between epochs, so a resumed training goes on as if nothing had happened: on
a CPU bit for bit.
"""

from __future__ import annotations

import math
import time
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.context import Checkpoint, Context, Inputs, Output, Result
from core.errors import Diverged
from core.images import open_dataset
from core.models import Classifier, new_classifier, save_model
from core.schedules import relative_rates
from core.seeding import derived_seed, generator
from core.sgd import SGD
from core.training import channel_statistics
from sieve.specs import PretrainSpec
from sieve.specs.train import OneCycle


class Projected(nn.Module):
    """An encoder with the head that the loss is taken behind; only the encoder is kept."""

    def __init__(self, classifier: Classifier, projection: int) -> None:
        super().__init__()
        features = classifier.head.in_features
        self.classifier = classifier
        self.projector = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projection))

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, C, H, W] to unit vectors [n, projection]."""
        return functional.normalize(self.projector(self.classifier.features(x)), dim=1)


def pretrain(spec: PretrainSpec, inputs: Inputs, context: Context) -> Result:
    """Train an encoder, and leave it as `model.safetensors`.

    Raises:
        Diverged: the loss stopped being a number.
    """
    began = time.monotonic()
    splits = open_dataset(spec.dataset, inputs, context.data_folder)
    images = splits.train.to(context.device)
    _, channels, height, width = images.pixels.shape
    shape = channels, height, width
    mean, std = channel_statistics(images)
    model = _fresh(spec, shape, len(splits.classes), mean, std).to(context.device)
    trained = nn.ModuleList([model.classifier.body, model.projector])
    optimiser = SGD(trained, momentum=spec.momentum, weight_decay=spec.weight_decay)
    steps = max(1, len(images) // spec.batch_size)
    rates = relative_rates(OneCycle(), spec.epochs * steps)
    checkpoint = context.resume()
    if checkpoint is not None:
        _restore(model, optimiser, checkpoint)
    mean_loss = math.nan
    for epoch in range(0 if checkpoint is None else checkpoint.step, spec.epochs):
        order = torch.randperm(len(images), generator=generator(spec.seed, "order", epoch)).to(context.device)
        draws = generator(spec.seed, "views", epoch)
        total = torch.zeros((), device=context.device)
        model.train()
        for step, batch in enumerate(torch.split(order, spec.batch_size)[:steps], start=epoch * steps):
            context.progress("training", epoch, spec.epochs)
            x = images.batch(batch)
            loss = contrastive(model(torch.cat([view(x, spec, draws), view(x, spec, draws)])), spec.temperature)
            optimiser.step(optimiser.gradients(loss), spec.learning_rate * rates[step])
            total += loss.detach()
        mean_loss = total.item() / steps
        if not math.isfinite(mean_loss):
            raise Diverged(f"loss {mean_loss:g} in epoch {epoch + 1}: a smaller learning_rate may help")
        context.metric("loss", mean_loss, epoch + 1)
        context.safe_point(epoch + 1, partial(_checkpoint, model, optimiser, epoch + 1, mean_loss))
    if checkpoint is not None and not math.isfinite(mean_loss):
        mean_loss = checkpoint.values["loss"]
    path = context.scratch / "model.safetensors"
    save_model(path, model.classifier, spec.architecture, shape, len(splits.classes))
    return Result(
        figures={
            "epochs": spec.epochs,
            "loss": mean_loss,
            "chance_loss": math.log(2 * min(spec.batch_size, len(images)) - 1),
            "train_images": len(images),
            "cautions": [],
            "seconds": time.monotonic() - began,
        },
        outputs=(Output(path.name, path, "model", "application/octet-stream"),),
    )


def contrastive(z: Tensor, temperature: float) -> Tensor:
    """NT-Xent: mean cross-entropy of finding each view's other view among all others.

    Args:
        z: unit vectors [2 n, d]; rows i and n + i are views of one image.
        temperature: by which cosines are divided.
    """
    n = len(z) // 2
    likeness = z @ z.T / temperature
    likeness = likeness.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -math.inf)
    other = torch.arange(2 * n, device=z.device).roll(n)
    return functional.cross_entropy(likeness, other)


def view(x: Tensor, spec: PretrainSpec, draws: torch.Generator) -> Tensor:
    """A view of each image: turned, moved, zoomed, mirrored, and changed in tone. [n, C, H, W] to the same, in [0, 1].

    `draws` is a CPU's, so that the views are the same on every device.
    """
    n = len(x)
    turn, zoom, right, down, contrast, brightness = (2 * torch.rand(6, n, generator=draws) - 1).to(x.device)
    mirrored = torch.where((torch.rand(n, generator=draws) < 0.5).to(x.device) & spec.flip, -1.0, 1.0)
    angle, scale = spec.turn * turn, 1 + spec.zoom * zoom
    across = torch.stack([scale * angle.cos() * mirrored, -scale * angle.sin(), 2 * spec.shift * right], dim=1)
    along = torch.stack([scale * angle.sin() * mirrored, scale * angle.cos(), 2 * spec.shift * down], dim=1)
    grid = functional.affine_grid(torch.stack([across, along], dim=1), list(x.shape), align_corners=False)
    seen = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    middle = seen.mean(dim=(1, 2, 3), keepdim=True)
    gain, offset = (1 + spec.tone * contrast)[:, None, None, None], (spec.tone / 2 * brightness)[:, None, None, None]
    toned: Tensor = (middle + gain * (seen - middle) + offset).clamp(0, 1)
    return toned


def _fresh(spec: PretrainSpec, shape: tuple[int, int, int], classes: int, mean: Tensor, std: Tensor) -> Projected:
    classifier = new_classifier(spec.architecture, shape, classes, mean=mean, std=std, seed=spec.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(spec.seed, "projector"))
        return Projected(classifier, spec.projection)


def _checkpoint(model: Projected, optimiser: SGD, epoch: int, loss: float) -> Checkpoint:
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"velocity/{name}": tensor for name, tensor in optimiser.velocity.items()}
    return Checkpoint(epoch, tensors, {"loss": loss})


def _restore(model: Projected, optimiser: SGD, checkpoint: Checkpoint) -> None:
    held = checkpoint.tensors
    model.load_state_dict({name[6:]: tensor for name, tensor in held.items() if name.startswith("model/")})
    for name, velocity in optimiser.velocity.items():
        velocity.copy_(held[f"velocity/{name}"])
