"""A dataset of 1,000,000 images of 32x32 pixels, written in every format: memory, time, size.

    python -m benchmarks.million --out out/bench/million.json
    python -m benchmarks.million --upload --out out/bench/million-upload.json

A constructed dataset's file (float32 pixels, 12.3 GB, with the columns of D_rand) is drawn block by block; with
--upload an upload's (8-bit pixels, 3.1 GB, a sixth of the images for testing). Then each format is written from it, in
a process of its own, the file hashed and removed before the next. Memory is what is private to the process and not in a
file (RssAnon), looked at every 20 ms: the source is mapped, and pages of it that the system keeps while there is room
are not the writer's. The same is done with a tenth of the images: flat is what does not grow with their number. Needs
about 50 GB of disk under --folder for all of them, at the most.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import FOLDER, record
from formats.card import FORMATS, About
from formats.images import open_images

CLASSES = tuple(f"class {number}" for number in range(10))
_BLOCK = 10_000
_ABOUT = About(
    name="ds_million",
    title="Images of planted noise, perturbed",
    method="Drawn to measure how files are written.",
    provenance={"job": "job_million", "spec": {"kind": "synthesize"}, "seed": 0, "inputs": {}},
)


def draw(path: Path, images: int, *, upload: bool = False) -> None:
    """A dataset's file: smooth noise with a faint perturbation, which no format can pack to nothing.

    Drawn into mapped files, and written from there: memory holds a block of it.
    """
    import torch  # noqa: PLC0415 - it would weigh on every process that is measured

    from core.images import Images, save_dataset  # noqa: PLC0415

    draws = np.random.default_rng(0)
    shape, dtype = (images, 3, 32, 32), torch.uint8 if upload else torch.float32
    drawn = path.with_suffix(".drawn")
    pixels = torch.from_file(str(drawn), shared=True, size=math.prod(shape), dtype=dtype).view(shape)
    for start in range(0, images, _BLOCK):
        count = min(_BLOCK, images - start)
        coarse = draws.random((count, 3, 8, 8), np.float32).repeat(4, 2).repeat(4, 3)
        faint = draws.standard_normal((count, 3, 32, 32), np.float32) * np.float32(0.01)
        block = torch.from_numpy(np.clip(coarse + faint, 0, 1))
        pixels[start : start + count] = block.mul(255).round() if upload else block
    labels = torch.from_numpy(draws.integers(0, 10, images))
    if upload:
        train = images - images // 6
        save_dataset(path, Images(pixels[:train], labels[:train]), CLASSES, test=Images(pixels[train:], labels[train:]))
    else:
        columns = {
            "source_index": torch.arange(images),
            "original_label": labels,
            "norm": torch.from_numpy(draws.random(images, np.float32)),
            "target": labels,
            "success": torch.ones(images, dtype=torch.uint8),
        }
        save_dataset(path, Images(pixels, labels, columns), CLASSES)
    drawn.unlink()


def written(source: Path, form: str, folder: Path) -> dict[str, Any]:
    """Write the dataset in a format; what that took. The file is removed."""
    entry = FORMATS.get(form)
    target = folder / "out"
    peak, over = [0], threading.Event()

    def watch() -> None:
        last = False
        while not last:
            last = over.wait(0.02)
            lines = Path("/proc/self/status").read_text().splitlines()
            now = next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            peak[0] = max(peak[0], now)

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.monotonic()
    images = open_images(source)
    entry.write(images, _ABOUT, target, lambda _: None)
    seconds = time.monotonic() - began
    over.set()
    watching.join()
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    told = {"bytes": target.stat().st_size, "seconds": round(seconds, 1), "anonymous_peak": peak[0], "sha256": digest}
    target.unlink()
    return told


def measure(folder: Path, images: int, forms: list[str], *, upload: bool) -> dict[str, Any]:
    """Every format, each in a process of its own."""
    source = folder / "dataset.safetensors"
    draw(source, images, upload=upload)
    told: dict[str, Any] = {"source_bytes": source.stat().st_size}
    for form in forms:
        command = [sys.executable, "-m", "benchmarks.million", "--one", form, "--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
        told[form] = json.loads(done.stdout)
        print(images, form, told[form], file=sys.stderr, flush=True)
    source.unlink()
    return told


def main() -> None:
    """Measure, record."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--upload", action="store_true", help="8-bit pixels, a sixth of the images for testing")
    parser.add_argument("--formats", default=",".join(FORMATS.names()))
    parser.add_argument("--folder", type=Path, help="where there is room for all of it")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=FOLDER / "million.json")
    asked = parser.parse_args()
    if asked.one is not None:
        print(json.dumps(written(asked.folder / "dataset.safetensors", asked.one, asked.folder)))
        return
    forms = asked.formats.split(",")
    with tempfile.TemporaryDirectory(prefix="sieve-million-", dir=asked.folder) as name:
        few = measure(Path(name), asked.images // 10, forms, upload=asked.upload)
        many = measure(Path(name), asked.images, forms, upload=asked.upload)
    grown = {form: round((many[form]["anonymous_peak"] - few[form]["anonymous_peak"]) / (1 << 20), 1) for form in forms}
    found = {
        "benchmark": "million",
        "images": asked.images,
        "upload": asked.upload,
        "all": many,
        "a_tenth": few,
        "grown_mib": grown,
    }
    record(asked.out, found, ("numpy", "pillow", "pyarrow", "safetensors", "torch", "webdataset"))


if __name__ == "__main__":
    main()
