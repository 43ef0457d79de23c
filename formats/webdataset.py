"""WebDataset: a tar of shards `train-000000.tar`, `test-000000.tar`, …; in each the samples one after the other, with
the same keys.

A sample has `.png` (8 bits), `.npy` (the exact float32 image), `.cls` (label) and `.json` (class name and columns).
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from formats.card import About, Format, Tick
from formats.images import BATCH, ImageFile, ImageSplit
from formats.png import eight_bits, png
from formats.tape import Tape, writing

SHARD = 20 * BATCH
"""Samples a shard."""


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """Shard by shard."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, writing(target) as archive:
        for split in images.splits:
            _write_split(split, images.classes, archive, Path(scratch, "shard.tar"), tick)


def _write_split(split: ImageSplit, classes: tuple[str, ...], archive: Tape, shard: Path, tick: Tick) -> None:
    import webdataset  # noqa: PLC0415

    done = 0
    batches = split.batches()
    for start in range(0, len(split), SHARD):
        with shard.open("wb") as file, webdataset.TarWriter(file, encoder=False, mtime=0) as writer:
            while done < min(start + SHARD, len(split)):
                batch = next(batches)
                for number, (image, pixels) in enumerate(zip(batch, eight_bits(batch), strict=True), done):
                    label = int(split.labels[number])
                    known = {name: column[number].item() for name, column in split.columns.items()}
                    told = {"class": classes[label], **known}
                    writer.write(_sample(number, image, png(pixels), label, told))
                done += len(batch)
                tick(len(batch))
        archive.add(f"{split.name}-{start // SHARD:06d}.tar", shard)


def _sample(
    number: int, image: npt.NDArray[np.float32], picture: bytes, label: int, told: dict[str, Any]
) -> dict[str, str | bytes]:
    exact = io.BytesIO()
    np.save(exact, image, allow_pickle=False)
    return {
        "__key__": f"{number:07d}",
        "png": picture,
        "npy": exact.getvalue(),
        "cls": str(label).encode(),
        "json": json.dumps(told).encode(),
    }


ENTRY = Format(
    name="webdataset",
    summary="shards for streaming: PNG and exact float32 arrays, labels and columns of each sample",
    suffix=".tar",
    media_type="application/x-tar",
    exact=True,
    write=write,
)
