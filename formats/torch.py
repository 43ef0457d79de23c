"""The layout of the datasets that the authors published: a tar of `CIFAR_ims` and `CIFAR_lab`, lists of tensors.

Their code reads it: `torch.cat(torch.load("CIFAR_ims"))`, here also with `weights_only=True`. Whatever the dataset, the
names are theirs. https://github.com/MadryLab/constructed-datasets
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from formats.card import About, Format, Tick
from formats.images import ImageFile
from formats.tape import writing


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """Both files; images float32 [n, C, H, W] in [0, 1], labels int64 [n], each in a list of one."""
    import torch  # noqa: PLC0415
    from safetensors import safe_open  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, safe_open(images.path, framework="pt") as file:
        parts = {"CIFAR_ims": "images", "CIFAR_lab": "labels"}
        for name, tensor in parts.items():
            torch.save([file.get_tensor(tensor)], Path(scratch, name))  # mapped from the file, not read into memory
        with writing(target) as archive:
            for name in parts:
                archive.add(name, Path(scratch, name))
    tick(len(images))


ENTRY = Format(
    name="torch",
    summary="the layout of the authors' published datasets: CIFAR_ims and CIFAR_lab for torch.load, exact",
    suffix=".tar",
    media_type="application/x-tar",
    exact=True,
    write=write,
)
