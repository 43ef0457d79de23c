"""The speed figures on one device: matrix rate, attacks, adversarial training, feature matching.

Every time is taken with the device idle before and after. Peers are those that can be imported; the others are named
with the reason. They compute as torch does by its own default: convolutions in TF32. Judged is in fp32.
"""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.call import Call, say
from benchmarks.gpu.images import NAME
from core.arithmetic import convolutions
from core.constructions import Source
from core.context import Inputs
from core.frozen import FrozenModel
from core.losses import cross_entropy
from core.models import Classifier, new_classifier
from core.pgd import PGDAttack
from core.run import execute
from core.seeding import generator
from core.synthesis import construct
from core.threat import NORMS, Ball
from sieve.specs import PGD, ArchitectureRef, DatasetRef, ModelRef, RobustConstruction, SynthesizeSpec, TrainSpec

Attack = Callable[[Tensor, Tensor], Tensor]
Peer = Callable[[nn.Module, float, float, int], Attack]
"""From a model, epsilon, the step's length and the number of steps."""

EPSILONS = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0)
RELATIVE_STEP = 0.2


def matrix_rate(call: Call) -> dict[str, Any]:
    """Operations a second of a large bf16 matrix product on random data: the median of ten, after three."""
    size = 256 if call.tiny else 8192
    left, right = (torch.randn(size, size, device=call.device, dtype=torch.bfloat16) for _ in range(2))
    times = _times(call, lambda: left @ right, 10, warm=3)
    return {"tflops": round(2 * size**3 / statistics.median(times) / 1e12, 3), "size": size}


def attacks(call: Call, depth: int) -> dict[str, Any]:
    """l2 PGD, all steps for all images, on an adversarially trained ResNet: images x steps a second, beside peers."""
    model = call.load(_trained(call, depth))
    count, steps = (16, 2) if call.tiny else (2048, 20) if depth < 50 else (1024, 10)
    x, y = _test_images(call, count)
    right = _judged(model, x, y)["robust"] / 100
    view = FrozenModel(model, "fast")
    epsilon = _halving_epsilon(model, view, x[:512], y[:512], right)
    contestants: dict[str, Attack] = {"ours": _ours(view, epsilon, steps)}
    peers, missing = _peers()
    contestants |= {name: peer(model, epsilon, RELATIVE_STEP * epsilon, steps) for name, peer in peers.items()}
    sizes = (8, 16) if call.tiny else (256, 512, 1024)
    found: dict[str, Any] = {}
    for name, attack in contestants.items():
        rates = {}
        for size in sizes:
            try:
                taken = _times(call, lambda a=attack, s=size: a(x[:s], y[:s]), 2, warm=1)  # type: ignore[misc]
            except torch.OutOfMemoryError:
                break
            rates[size] = size * steps / min(taken)
        best = max(rates, key=lambda size: rates[size])
        taken = _times(call, lambda a=attack, b=best: _batched(a, x, y, b), 1 if call.tiny else 3, warm=0)  # type: ignore[misc]
        found[name] = {
            "images_steps_per_second": round(count * steps / statistics.median(taken)),
            "batch": best,
            "by_batch": {str(size): round(rate) for size, rate in rates.items()},
            **_judged(model, _batched(attack, x, y, best), y),
        }
        say(f"resnet{depth}: {name}: {found[name]}")
    operations = _operations(model, x[:2]) / 2
    rate = call.figures.get("matrix", {}).get("tflops")
    ours = found["ours"]["images_steps_per_second"]
    figures: dict[str, Any] = {
        "contestants": found,
        "missing_peers": missing,
        "epsilon": epsilon,
        "steps": steps,
        "images": count,
        "standard": round(100 * right, 2),
        "operations_per_image_and_step": operations,
        "tflops": round(ours * operations / 1e12, 3),
        "fraction_of_matrix_rate": round(ours * operations / 1e12 / rate, 3) if rate else None,
    }
    if peers:
        fastest = max(peers, key=lambda name: found[name]["images_steps_per_second"])
        figures |= {
            "fastest_peer": fastest,
            "ratio": round(ours / found[fastest]["images_steps_per_second"], 2),
            "strength_gap": round(found["ours"]["robust"] - found[fastest]["robust"], 3),
            "loss_gap": round(found["ours"]["loss"] - found[fastest]["loss"], 4),
        }
    return figures


def adversarial_training(call: Call) -> dict[str, Any]:
    """Steps of adversarial training (PGD of 7 steps, batches of 128, ResNet-18): ours, and a plain loop with a peer.

    Times of steps only: whether the trained models are equally accurate takes many trainings, which `make bench` does.
    """
    batch, steps = (8, 2) if call.tiny else (128, 40)
    images = steps * batch
    spec = TrainSpec(
        dataset=DatasetRef(name=NAME, limit_train=images),
        architecture=_architecture(call, 18),
        epochs=3,
        batch_size=batch,
        learning_rate=0.01,
        adversary=PGD(epsilon=0.5, steps=7, relative_step=0.2),
        validation_fraction=0,
        select="last",
        precision="fast",
    )
    context = call.context("adversarial-training")
    execute(spec, Inputs(), context)
    ours = min(later - sooner for sooner, later in zip(context.ended, context.ended[1:], strict=False)) / steps
    peers, missing = _peers()
    figures: dict[str, Any] = {"ours_seconds_a_step": ours, "batch": batch, "steps": steps, "missing_peers": missing}
    if peers:
        name, peer = next(iter(peers.items()))
        x = call.splits.train.batch(slice(images)).to(call.device)
        y = call.splits.train.labels[:images].to(call.device)
        model = _fresh(call, spec.architecture)
        optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
        attack = peer(model, 0.5, 0.1, 7)

        def epoch() -> None:
            for at in range(0, images, batch):
                model.eval()
                z = attack(x[at : at + batch], y[at : at + batch])
                model.train()
                optimiser.zero_grad()
                functional.cross_entropy(model(z), y[at : at + batch]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()

        theirs = min(_times(call, epoch, 2, warm=1)) / steps
        figures |= {"peer": name, "peer_seconds_a_step": theirs, "ratio": round(theirs / ours, 2)}
    return figures


def feature_matching(call: Call) -> dict[str, Any]:
    """D_R from an adversarially trained ResNet-18, on one engine: the recipes `paper` and `fast`.

    `paper` is timed up to where it first is within 2 % of the distance that its 1000 steps end at (looked at every 100
    steps), `fast` as a job runs it.
    """
    model = call.load(_trained(call, 18))
    source = Source(model, FrozenModel(model, "fast"))
    images = call.splits.train.select(slice(16 if call.tiny else 512)).to(call.device)
    all_steps = 4 if call.tiny else 1000

    def made(**how: Any) -> tuple[float, float]:
        """Seconds, and the mean relative feature distance."""
        spec = SynthesizeSpec(
            construction=RobustConstruction(**how), dataset=DatasetRef(name=NAME), model=ModelRef(name="@source")
        )
        began = call.clock()
        classes, at_once = len(call.splits.classes), len(images)
        with convolutions("exact"):
            block = construct(spec, source, images, number=0, classes=classes, at_once=at_once)
        return call.clock() - began, block["feature_distance"].mean().item()

    made(steps=2)
    _, end = made(steps=all_steps)
    arrival, seconds = all_steps, math.nan
    for steps in sorted({max(1, all_steps * share // 10) for share in range(1, 11)}):
        seconds, distance = made(steps=steps)
        if distance <= 1.02 * end:
            arrival = steps
            break
    fast = {"recipe": "fast"} | ({"steps": 3} if call.tiny else {})
    made(**fast)
    fast_seconds, fast_distance = made(**fast)
    return {
        "paper_distance": end,
        "paper_arrives_after": arrival,
        "paper_seconds": seconds,
        "fast_distance": fast_distance,
        "fast_seconds": fast_seconds,
        "speedup": round(seconds / fast_seconds, 2),
        "images": min(256, len(images)),
    }


def _trained(call: Call, depth: int) -> Any:
    """A model file: a ResNet that was adversarially trained for a short while, so that attacks have something to do."""
    path = call.scratch / f"attacked-{depth}" / "model.safetensors"
    if not path.exists():
        spec = TrainSpec(
            dataset=DatasetRef(name=NAME, limit_train=64 if call.tiny else 20_000),
            architecture=_architecture(call, depth),
            epochs=1 if call.tiny else 4,
            batch_size=16 if call.tiny else 128,
            learning_rate=0.1,
            adversary=PGD(epsilon=0.25, steps=2, relative_step=0.5),
            validation_fraction=0,
            select="last",
            precision="fast",
        )
        execute(spec, Inputs(), call.context(f"attacked-{depth}"))
    return path


def _architecture(call: Call, depth: int) -> ArchitectureRef:
    tiny = {"blocks": (1, 1), "width": 4}
    return ArchitectureRef(name="resnet", options={"depth": depth, **(tiny if call.tiny else {"width": 64})})


def _fresh(call: Call, architecture: ArchitectureRef) -> Classifier:
    _, channels, height, width = call.splits.train.pixels.shape
    half = torch.full((channels,), 0.5)
    classes = len(call.splits.classes)
    made = new_classifier(architecture, (channels, height, width), classes, mean=half, std=half / 2, seed=0)
    return made.to(call.device)


def _test_images(call: Call, count: int) -> tuple[Tensor, Tensor]:
    test = call.splits.test
    chosen = torch.randperm(len(test), generator=generator(0, "attacked images"))[:count]
    return test.batch(chosen).to(call.device), test.labels[chosen].to(call.device)


def _halving_epsilon(model: Classifier, view: FrozenModel, x: Tensor, y: Tensor, right: float) -> float:
    """Of a few, the epsilon at which a short attack leaves nearest to half of what is read right."""
    left = {e: _judged(model, _ours(view, e, 10)(x, y), y)["robust"] / 100 for e in EPSILONS}
    return min(left, key=lambda epsilon: abs(left[epsilon] - right / 2))


def _ours(view: FrozenModel, epsilon: float, steps: int) -> Attack:
    attack, unused = PGDAttack("cross_entropy", steps, RELATIVE_STEP), torch.Generator()
    return lambda x, y: attack.perturb(view, y, Ball(NORMS["l2"], x, epsilon), 0, unused)


def _peers() -> tuple[dict[str, Peer], dict[str, str]]:
    """Attacks of those peers that can be imported, the usual one first; and why others cannot."""
    found: dict[str, Peer] = {}
    missing = {}
    for name, make in (("torchattacks", _torchattacks), ("foolbox", _foolbox), ("art", _art)):
        module = {"art": "art.attacks.evasion"}.get(name, name)
        try:
            importlib.import_module(module)
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"[:200]
        else:
            found[name] = make
    return found, missing


def _torchattacks(model: nn.Module, epsilon: float, step: float, steps: int) -> Attack:
    peer = importlib.import_module("torchattacks")
    return peer.PGDL2(model, eps=epsilon, alpha=step, steps=steps, random_start=False)  # type: ignore[no-any-return]


def _foolbox(model: nn.Module, epsilon: float, step: float, steps: int) -> Attack:
    foolbox = importlib.import_module("foolbox")
    attack = foolbox.attacks.L2ProjectedGradientDescentAttack(abs_stepsize=step, steps=steps, random_start=False)

    def run(x: Tensor, y: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device=x.device)
        return attack.run(wrapped, x, foolbox.criteria.Misclassification(y), epsilon=epsilon)  # type: ignore[no-any-return]

    return run


def _art(model: nn.Module, epsilon: float, step: float, steps: int) -> Attack:
    evasion = importlib.import_module("art.attacks.evasion")
    classification = importlib.import_module("art.estimators.classification")

    def run(x: Tensor, y: Tensor) -> Tensor:
        classes = model(x[:1]).shape[1]
        estimator = classification.PyTorchClassifier(
            model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0.0, 1.0), device_type=_kind(x)
        )
        attack = evasion.ProjectedGradientDescentPyTorch(
            estimator, norm=2, eps=epsilon, eps_step=step, max_iter=steps, batch_size=len(x), verbose=False
        )
        found = attack.generate(x.cpu().numpy(), functional.one_hot(y, classes).cpu().numpy())
        return torch.from_numpy(found).to(x.device)

    return run


def _kind(x: Tensor) -> str:
    return "gpu" if x.device.type == "cuda" else "cpu"


def _batched(attack: Attack, x: Tensor, y: Tensor, batch: int) -> Tensor:
    return torch.cat([attack(x[at : at + batch], y[at : at + batch]) for at in range(0, len(x), batch)])


@convolutions("exact")
@torch.no_grad()
def _judged(model: Classifier, z: Tensor, y: Tensor) -> dict[str, float]:
    """By the plain fp32 model: percent still read right, mean cross-entropy."""
    logits = torch.cat([model(part) for part in torch.split(z, 256)])
    return {
        "robust": round(100 * (logits.argmax(1) == y).float().mean().item(), 3),
        "loss": round(cross_entropy(logits, y).mean().item(), 4),
    }


def _operations(model: Classifier, x: Tensor) -> float:
    """Operations of one forward pass and one back to the images, counted: a multiplication and an addition are two."""
    plain = FrozenModel(model, "exact")._view  # its folded modules, without what stands for them on a CPU
    with FlopCounterMode(display=False) as counter:
        z = x.clone().requires_grad_()
        plain(z).sum().backward()  # the counter cannot follow autograd.grad
    return float(counter.get_total_flops())


def _times(call: Call, work: Callable[[], object], times: int, *, warm: int) -> list[float]:
    """Seconds of each of so many runs."""
    for _ in range(warm):
        work()
    taken = []
    for _ in range(times):
        began = call.clock()
        work()
        taken.append(call.clock() - began)
    return taken
