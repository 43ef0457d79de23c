"""The picture wall's images: some of each class in the source and in every constructed dataset of a study's first seed.

Kept as `wall.safetensors`, so that whoever shows them needs neither the datasets nor PyTorch. Tensors, n images chosen:
`source` float32 [n, C, H, W] in [0, 1] with `labels` int64 [n], and by constructed dataset its images, `<row>/labels`,
and `<row>/start` where it started from another image than the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from core.context import Inputs
from core.images import Images, Splits, open_dataset
from core.results import parts_by_row
from core.studies import CONSTRUCTED
from core.tensorfile import write_tensors
from sieve.specs import DatasetRef, ReportSpec

MOST_OF_A_CLASS = 16
MOST = 320
"""Images, of all classes together; every class has one at least."""


def write_wall(path: Path, spec: ReportSpec, dataset: Splits, inputs: Inputs, data_folder: Path) -> None:
    """Choose images by their labels alone, the first of each class, and write them as they are in every dataset."""
    source = dataset.train
    chosen = first_of_each(source.labels, max(1, min(MOST_OF_A_CLASS, MOST // len(dataset.classes))))
    tensors: dict[str, Tensor] = {"source": source.batch(chosen), "labels": source.labels[chosen]}
    parts = parts_by_row(spec)
    for row in CONSTRUCTED:
        if ("synthesize", row) not in parts:
            continue
        _, job = parts["synthesize", row][0]
        constructed = open_dataset(DatasetRef(name=job), inputs, data_folder).train
        tensors |= _of(row, constructed, chosen, dataset)
    write_tensors(path, tensors, {"format": "wall", "version": 1, "classes": list(dataset.classes)})


def first_of_each(labels: Tensor, count: int) -> Tensor:
    """Positions of the first `count` images of each class, class by class: int64 [m]."""
    return torch.cat([(labels == label).nonzero()[:count, 0] for label in sorted(set(labels.tolist()))])


def _of(row: str, constructed: Images, chosen: Tensor, dataset: Splits) -> Mapping[str, Tensor]:
    place = torch.full((len(dataset.train),), -1, dtype=torch.int64)
    place[constructed.columns["source_index"]] = torch.arange(len(constructed))
    made = constructed.select(place[chosen])
    tensors = {row: made.batch(slice(None)), f"{row}/labels": made.labels}
    if "start_index" in made.columns:
        tensors[f"{row}/start"] = dataset.train.batch(made.columns["start_index"])
    return tensors
