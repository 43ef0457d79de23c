"""What is attacked in the benchmarks: images of 32x32 pixels and networks trained on them, kept in a cache folder.

Without an image folder the images are `planted`, enlarged to 32x32 and in three channels, so that nothing has to be
fetched. Every network is trained by the project's own jobs.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from core.context import Inputs, MemoryContext, StoredDataset
from core.datasets.planted import PlantedOptions
from core.folder import read_folder
from core.frozen import FrozenModel
from core.images import Images, load_dataset, save_dataset
from core.models import Classifier, load_model
from core.pgd import PGDAttack
from core.planted import planted
from core.run import execute
from core.threat import NORMS, Ball
from sieve.specs import PGD, ArchitectureRef, DatasetRef, TrainSpec

NETWORKS = {
    "small": ArchitectureRef(name="resnet", options={"depth": 10, "width": 16}),
    "resnet18": ArchitectureRef(name="resnet", options={"depth": 18, "width": 64}),
}
"""The small one is a ResNet with one block a stage and 16 channels in the first."""


@dataclass(frozen=True)
class Subjects:
    """Images, and where networks trained on them are kept."""

    name: str
    cache: Path
    train: Path
    """A dataset file."""
    test: Path

    def test_images(self) -> Images:
        """The images to attack; no network has seen them."""
        return load_dataset(self.test).train

    def trained(self, network: str, *, adversarial: bool, epochs: int, images: int, epsilon: float = 0.5) -> Classifier:
        """A network trained on the first so many training images, with PGD of 7 steps in l2 or without."""
        spec = TrainSpec(
            dataset=DatasetRef(name="@train", limit_train=images),
            architecture=NETWORKS[network],
            epochs=epochs,
            batch_size=64,
            learning_rate=0.1,
            validation_fraction=0,
            select="last",
            adversary=PGD(epsilon=epsilon, steps=7) if adversarial else None,
            precision="fast",
        )
        return load_model(self.file(spec))

    def file(self, spec: TrainSpec) -> Path:
        """The model that a training on `@train` gives, from the cache or trained now."""
        written = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
        folder = self.cache / hashlib.sha256((self.name + written).encode()).hexdigest()[:16]
        path = folder / "model.safetensors"
        if not path.exists():
            inputs = Inputs(datasets={"@train": StoredDataset(self.train)})
            execute(spec, inputs, MemoryContext(folder / "making")).outputs[0].path.rename(path)
            (folder / "spec.json").write_text(written)
        return path


def subjects(folder: Path | None, cache: Path, *, train: int = 10_000, test: int = 2000) -> Subjects:
    """Of an image folder (see `core.folder`), or of `planted`; up to so many images of each split."""
    name = "planted" if folder is None else f"folder-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
    place = cache / f"{name}-{train}-{test}"
    found = Subjects(name, place, place / "train.safetensors", place / "test.safetensors")
    if not found.test.exists():
        place.mkdir(parents=True, exist_ok=True)
        splits = (
            planted(PlantedOptions(train_images=train, test_images=test)) if folder is None else read_folder(folder)
        )
        for path, images, most in ((found.train, splits.train, train), (found.test, splits.test, test)):
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:most]
            save_dataset(path, _enlarged(images.select(order)), splits.classes)
    return found


def _enlarged(images: Images) -> Images:
    pixels = images.batch(slice(None))
    if pixels.shape[2:] != (32, 32):
        pixels = interpolate(pixels, size=(32, 32), mode="bilinear", align_corners=False).clamp_(0, 1)
    return Images(pixels.expand(-1, 3, -1, -1).contiguous(), images.labels)


def epsilon_for(model: Classifier, images: Images, steps: int, relative_step: float) -> float:
    """The l2 epsilon, to two digits, at which PGD leaves about 0.7 of what the model reads right of 128 images."""
    x, y = images.batch(slice(128)), images.labels[:128]
    attack, view = PGDAttack("cross_entropy", steps, relative_step), FrozenModel(model, "fast")

    @torch.no_grad()
    def right(z: torch.Tensor) -> float:
        return float((model(z).argmax(1) == y).float().mean())

    wanted, low, high = 0.7 * right(x), 0.005, 8.0
    for _ in range(7):
        epsilon = math.sqrt(low * high)
        found = attack.perturb(view, y, Ball(NORMS["l2"], x, epsilon), 0, torch.Generator())
        low, high = (epsilon, high) if right(found) > wanted else (low, epsilon)
    return float(f"{math.sqrt(low * high):.2g}")
