"""Exports are found again by their content: what was written once has the same bytes in every later version."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from core.images import Images, save_dataset
from formats.card import FORMATS, About
from formats.images import open_images

ABOUT = About(
    name="ds_pinned",
    title="Images of noise, perturbed towards classes drawn at random",
    method="Each image was moved.",
    provenance={
        "job": "job_pinned",
        "spec": {"kind": "synthesize", "dataset": {"name": "noise"}, "seed": 3},
        "seed": 3,
        "inputs": {"noise": "0" * 64},
        "software": {"torch": "2"},
        "hardware": {"threads": 1},
    },
)
PINNED = {
    "bundle": "5c82c249ab0c0d3696af612230c56459e303eb250419e54f35321843b5f900ba",
    "imagefolder": "f4dae77c635c757f5501bfb98b80d2ca14e88cdbb36b0608e8fb269733b89f82",
    "npz": "325cba63c634b63a4b7099b62c9a28e4efa84f08bd4be18f3fa752c897137e7f",
    "parquet": "7caacd5b6c1d1704338a42c7aefc76c09f4ad74c3c9d08f6a5a950a2656d954d",
    "safetensors": "ece33ad1911194f3e60bf5c2677c16ac655f38ae28901e91b21d335d067919ef",
    "torch": "e7e1d74bdf47ed644c8b267bb133bd92fe82585704217460598e3cd2581e94da",
    "webdataset": "6e2c29a1942cb72c282b151676bc6aa30cf6e772e78f0818cd32d3a99358123d",
}
"""sha256 by format, of a constructed dataset. They rest on the versions in requirements.lock: where one of these
changes, so may the bytes, and then old exports are not found again. Otherwise a change here is a mistake."""


@pytest.fixture
def constructed(tmp_path: Path) -> Path:
    """Two batches of images, with columns and without a test split."""
    draws, path = np.random.default_rng(0), tmp_path / "dataset.safetensors"
    pixels = torch.from_numpy(draws.integers(0, 1 << 20, (700, 3, 6, 5)).astype(np.float32) / (1 << 20))
    labels = torch.from_numpy(draws.integers(0, 12, 700))
    columns = {
        "source_index": torch.arange(700),
        "norm": torch.from_numpy(draws.integers(0, 1 << 20, 700).astype(np.float32) / (1 << 20)),
        "success": torch.from_numpy(draws.integers(0, 2, 700).astype(np.uint8)),
    }
    save_dataset(path, Images(pixels, labels, columns), tuple(f"{number}_big cat" for number in range(12)))
    return path


@pytest.mark.parametrize("form", FORMATS.names())
def test_a_constructed_dataset_is_written_as_ever(constructed: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / "written"
    FORMATS.get(form).write(open_images(constructed), ABOUT, target, lambda _: None)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == PINNED[form]
