"""WebDataset: a tar of shards `train-000000.tar`, …; in each the samples one after the other, with the same keys.

A sample has `.png` (8 bits), `.npy` (the exact float32 image), `.cls` (label) and `.json` (class name and columns).
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from formats.card import About, Format, Tick
from formats.images import BATCH, ImageFile
from formats.png import eight_bits, png
from formats.tape import writing

SHARD = 20 * BATCH
"""Samples a shard."""


def write(images: ImageFile, about: About, target: Path, tick: Tick) -> None:  # noqa: ARG001
    """Shard by shard."""
    import webdataset  # noqa: PLC0415

    done = 0
    batches = images.batches()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, writing(target) as archive:
        for start in range(0, len(images), SHARD):
            shard = Path(scratch, "shard.tar")
            with shard.open("wb") as file, webdataset.TarWriter(file, encoder=False, mtime=0) as writer:
                while done < min(start + SHARD, len(images)):
                    batch = next(batches)
                    for number, (image, pixels) in enumerate(zip(batch, eight_bits(batch), strict=True), done):
                        writer.write(_sample(images, number, image, png(pixels)))
                    done += len(batch)
                    tick(done)
            archive.add(f"train-{start // SHARD:06d}.tar", shard)


def _sample(images: ImageFile, number: int, image: npt.NDArray[np.float32], picture: bytes) -> dict[str, str | bytes]:
    exact = io.BytesIO()
    np.save(exact, image, allow_pickle=False)
    label = int(images.labels[number])
    known = {name: column[number].item() for name, column in images.columns.items()}
    return {
        "__key__": f"{number:07d}",
        "png": picture,
        "npy": exact.getvalue(),
        "cls": str(label).encode(),
        "json": json.dumps({"class": images.classes[label], **known}).encode(),
    }


ENTRY = Format(
    name="webdataset",
    summary="shards for streaming: PNG and exact float32 arrays, labels and columns of each sample",
    suffix=".tar",
    media_type="application/x-tar",
    exact=True,
    write=write,
)
