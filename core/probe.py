"""Linear probes: what can be learnt from frozen features alone.

Linear features are certified: for f(x) = w.x + b and ||delta||_2 <= epsilon the worst value is f(x) - epsilon ||w||.
Both conditions are those of Goh (Distill 2019): a feature is robustly useful for a class where
E[inf y f(x + delta)] > 0 with f of zero mean and unit variance (Ilyas et al. 2019, section 2) and classes weighing
alike, and the model behind the features keeps its reading of an image under every perturbation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from core.context import Context, Inputs, Result
from core.images import Images, blocks, open_dataset
from core.models import load_model
from core.seeding import generator
from core.sgd import SGD
from sieve.specs import LinearFeatures, ProbeSpec

Extract = Callable[[Images], Tensor]
"""The features of some images, [n, F]."""


def probe(spec: ProbeSpec, inputs: Inputs, context: Context) -> Result:
    """Fit a linear classifier to frozen features of one dataset; read it on clean test images of another."""
    began = time.monotonic()
    splits = open_dataset(spec.dataset, inputs, context.data_folder)
    other = splits if spec.train_on is None else open_dataset(spec.train_on, inputs, context.data_folder)
    classes = len(splits.classes)
    figures: dict[str, Any] = {"classes": classes, "images": len(splits.test), "train_images": len(other.train)}
    context.progress("features", 0, 2)
    if isinstance(spec.features, LinearFeatures):
        weight, bias = robust_linear(splits.train, classes, spec.features, context.device)
        figures |= certified(weight, bias, splits.test, classes, spec.features.epsilon)
        extract: Extract = _linear(weight, bias)
    else:
        extract = _of_model(spec, inputs, context.device)
    labels = other.train.labels
    if spec.permute_labels:
        labels = labels[torch.randperm(len(labels), generator=generator(spec.seed, "permuted labels"))]
    context.progress("probe", 1, 2)
    fitted, read = extract(other.train).double(), extract(splits.test).double()
    mean, std = fitted.mean(0), fitted.std(0).clamp_min(1e-9)
    classifier = LogisticRegression(C=spec.strength, max_iter=1000)
    classifier.fit(((fitted - mean) / std).numpy(), labels.numpy())
    found = torch.from_numpy(classifier.predict(((read - mean) / std).numpy()))
    own = torch.from_numpy(classifier.predict(((fitted - mean) / std).numpy()))
    truth = splits.test.labels
    context.progress("probe", 2, 2)
    return Result(
        figures
        | {
            "features": fitted.shape[1],
            "standard": _fraction(found == truth),
            "shifted": _fraction(found == (truth + 1) % classes),
            "fitted": _fraction(own == labels),
            "seconds": time.monotonic() - began,
        }
    )


def robust_linear(images: Images, classes: int, how: LinearFeatures, device: torch.device) -> tuple[Tensor, Tensor]:
    """A linear classifier of pixels trained against its exact worst l2 perturbations: weights [classes, d], bias.

    For each rival k of the label y the worst perturbation within epsilon raises f_k - f_y by epsilon ||w_k - w_y||. All
    rivals at once give an upper bound of the worst cross-entropy, which gradient descent on all images makes small.
    """
    x, y = _pixels(images).to(device), images.labels.to(device)
    model = nn.Linear(x.shape[1], classes).to(device)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    centre = x.mean(0)
    optimiser = SGD(model, momentum=0.9, weight_decay=1e-4)
    rate = 1.0 / float((x - centre).square().sum(1).mean())  # the loss curves no more than this allows
    for _ in range(how.steps):
        gaps = _gaps(model.weight, how.epsilon)
        loss = functional.cross_entropy(model(x - centre) + gaps[y], y)
        optimiser.step(optimiser.gradients(loss), rate)
    weight = model.weight.detach().cpu()
    return weight, model.bias.detach().cpu() - weight @ centre.cpu()


def _gaps(weight: Tensor, epsilon: float) -> Tensor:
    """epsilon ||w_k - w_y||, [classes (y), classes (k)]; 0 on the diagonal, where its gradient is 0 as well."""
    between = weight.unsqueeze(1) - weight.unsqueeze(0)
    squared = between.square().sum(2)
    away = squared > 0
    return epsilon * torch.where(away, torch.where(away, squared, 1.0).sqrt(), 0.0)


def certified(weight: Tensor, bias: Tensor, images: Images, classes: int, epsilon: float) -> dict[str, Any]:
    """What holds of the features and of the classifier that they make up, for every perturbation within epsilon.

    Returns:
        `features_useful`: how many are robustly useful for a class. `robust_usefulness`: of each, for its best class.
        `linear_standard`: accuracy of the classifier. `certified_constant`: the share of images whose reading no
        perturbation changes; `certified_robust`: and it is right.
    """
    x, y = _pixels(images), images.labels
    logits = x @ weight.T + bias
    deviation = logits.std(0).clamp_min(1e-12)
    scaled = (logits - logits.mean(0)) / deviation
    usefulness = []
    for at in range(classes):
        signs = [scaled[y == label, at].mean() - scaled[y != label, at].mean() for label in range(classes)]
        best = max(float(sign.abs()) / 2 for sign in signs if sign.isfinite())
        usefulness.append(best - epsilon * float(weight[at].norm() / deviation[at]))
    read = logits.argmax(1)
    margins = logits.gather(1, read[:, None]) - logits - _gaps(weight, epsilon)[read]
    constant = margins.scatter(1, read[:, None], torch.inf).amin(1) > 0
    return {
        "features_useful": sum(value > 0 for value in usefulness),
        "robust_usefulness": usefulness,
        "linear_standard": _fraction(read == y),
        "certified_constant": _fraction(constant),
        "certified_robust": _fraction(constant & (read == y)),
    }


def _linear(weight: Tensor, bias: Tensor) -> Extract:
    return lambda images: _pixels(images) @ weight.T + bias


def _of_model(spec: ProbeSpec, inputs: Inputs, device: torch.device) -> Extract:
    assert not isinstance(spec.features, LinearFeatures)
    model = load_model(inputs.models[spec.features.model.name]).to(device)
    layer = model.features if spec.features.layer == "penultimate" else model

    @torch.no_grad()
    def extract(images: Images) -> Tensor:
        held = images.to(device)
        return torch.cat([layer(held.batch(block)).cpu() for block in blocks(len(held))])

    return extract


def _pixels(images: Images) -> Tensor:
    """[n, C H W]."""
    return images.batch(slice(None)).flatten(1)


def _fraction(flags: Tensor) -> float:
    return flags.double().mean().item()
