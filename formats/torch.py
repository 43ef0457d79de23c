"""The layout of the datasets that the authors published: a tar of `CIFAR_ims` and `CIFAR_lab`, lists of tensors.

Their code reads it: `torch.cat(torch.load("CIFAR_ims"))`, here also with `weights_only=True`. Whatever the dataset, the
names are theirs. Theirs have no test images; where a dataset has some, they lie beside, in `CIFAR_ims_test` and
`CIFAR_lab_test`, which their code leaves alone. https://github.com/MadryLab/constructed-datasets
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from formats.card import About, Format, Tick
from formats.images import ImageFile, ImageSplit
from formats.tape import writing

if TYPE_CHECKING:
    from torch import Tensor

_SUFFIXES = {"train": "", "test": "_test"}
"""Of the names, by split."""


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """Both files of each split; images float32 [n, C, H, W] in [0, 1], labels int64 [n], each in a list of one."""
    import torch  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, writing(target) as archive:
        for split in images.splits:
            tensors = {"CIFAR_ims": _pixels(images, split, Path(scratch)), "CIFAR_lab": torch.from_numpy(split.labels)}
            for name, tensor in tensors.items():
                path = Path(scratch, name + _SUFFIXES[split.name])
                torch.save([tensor], path)
                archive.add(path.name, path)
            tick(len(split))


def _pixels(images: ImageFile, split: ImageSplit, scratch: Path) -> Tensor:
    """The images of a split, float32 [n, C, H, W], mapped from a file: not read into memory."""
    import torch  # noqa: PLC0415
    from safetensors import safe_open  # noqa: PLC0415

    if not images.eight_bit:
        with safe_open(images.path, framework="pt") as file:
            mapped: Tensor = file.get_tensor(split.tensor)
            return mapped
    count = len(split) * math.prod(images.shape)
    floats = torch.from_file(str(scratch / "floats"), shared=True, size=count, dtype=torch.float32)
    floats = floats.view(len(split), *images.shape)
    done = 0
    for batch in split.batches():
        floats[done : done + len(batch)] = torch.from_numpy(batch)
        done += len(batch)
    return floats


ENTRY = Format(
    name="torch",
    summary="the layout of the authors' published datasets: CIFAR_ims and CIFAR_lab for torch.load, exact",
    suffix=".tar",
    media_type="application/x-tar",
    exact=True,
    write=write,
)
