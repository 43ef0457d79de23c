"""Planted ground truth: what is painted can be read back, and the pattern is as fragile as it is said to be."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from core.context import Inputs, MemoryContext, StoredDataset
from core.datasets.planted import CLASSES, SIZE, PlantedOptions
from core.images import Images, Splits, open_dataset, save_dataset
from core.planted import FREQUENCIES, cue_conflict, paint, pattern_radius, planted, read_pattern, read_shape
from core.run import execute
from core.seeding import generator
from sieve.specs import ArchitectureRef, DatasetRef, DecodeSpec, ModelRef, TrainSpec


@pytest.fixture(scope="module")
def splits() -> Splits:
    return open_dataset(DatasetRef(name="planted"), Inputs(), Path("nowhere"))


def share(said: torch.Tensor, meant: torch.Tensor) -> float:
    return float((said == meant).double().mean())


def test_images_are_as_their_card_says(splits: Splits) -> None:
    assert splits.train.pixels.shape == (4000, 1, SIZE, SIZE)
    assert splits.test.pixels.shape == (1000, 1, SIZE, SIZE)
    assert splits.train.labels.bincount().tolist() == [1000] * 4
    assert float(splits.train.pixels.min()) > 0
    assert float(splits.train.pixels.max()) < 1, "nothing had to be clipped"


def test_both_decoders_read_the_label(splits: Splits) -> None:
    for images in (splits.train, splits.test):
        assert share(read_shape(images.pixels), images.labels) >= 0.90
        assert share(read_pattern(images.pixels), images.labels) >= 0.99


def test_without_spread_or_noise_the_decoders_never_err() -> None:
    options = PlantedOptions(angle_spread=0, noise=0, train_images=400)
    train = planted(options).train
    assert share(read_shape(train.pixels), train.labels) == 1
    assert share(read_pattern(train.pixels), train.labels) == 1


def test_a_feature_that_is_not_there_is_read_at_chance() -> None:
    # Noise alone: the gratings are orthogonal, so the shape says nothing about the pattern.
    pattern = planted(PlantedOptions(pattern_amplitude=0, angle_spread=3)).train
    assert share(read_pattern(pattern.pixels), pattern.labels) == pytest.approx(0.25, abs=0.05)
    shape = planted(PlantedOptions(shape_amplitude=0)).train
    assert share(read_shape(shape.pixels), shape.labels) == pytest.approx(0.25, abs=0.05)


def test_each_decoder_reads_its_own_cue_where_they_conflict() -> None:
    pixels, shapes, patterns = cue_conflict(PlantedOptions(), 1000)
    assert not bool((shapes == patterns).any())
    assert pixels.shape == (1000, 1, SIZE, SIZE)
    assert share(read_shape(pixels), shapes) >= 0.90
    assert share(read_pattern(pixels), patterns) >= 0.99
    pairs = torch.bincount(shapes * len(CLASSES) + patterns, minlength=16)
    assert int((pairs > 0).sum()) == 12, "every pair of different classes"


def test_decoders_read_a_perturbation_alone(splits: Splits) -> None:
    """A difference of two images has no mean and both signs."""
    options = PlantedOptions()
    labels = splits.test.labels
    bare = PlantedOptions(shape_amplitude=0, noise=0)
    perturbation = paint(labels, labels, bare, generator(0, "test")) - 0.5
    assert share(read_pattern(perturbation), labels) == 1
    shape_alone = options.model_copy(update={"pattern_amplitude": 0.0, "noise": 0.0})
    assert share(read_shape(paint(labels, labels, shape_alone, generator(0, "test")) - 0.5), labels) >= 0.9


def test_the_patterns_radius_is_that_of_the_design(splits: Splits) -> None:
    radii = pattern_radius(splits.train.pixels).quantile(torch.tensor([0.05, 0.5, 0.95]))
    assert radii.tolist() == pytest.approx([0.07, 0.12, 0.16], abs=0.01)


def test_the_radius_is_the_distance_to_another_reading(splits: Splits) -> None:
    """Moved by slightly more than the radius the pattern reads as another class's, by slightly less it does not."""
    images = splits.test.pixels[:200]
    place = torch.arange(SIZE) / SIZE
    turns = torch.stack([right * place + down * place[:, None] for right, down in FREQUENCIES]) * 2 * math.pi
    waves = torch.stack([turns.cos(), turns.sin()], dim=1).flatten(2) / math.sqrt(SIZE**2 / 2)  # [4, 2, 256], unit
    parts = torch.einsum("nd,cpd->ncp", images.flatten(1), waves)
    order = parts.norm(dim=2).argsort(dim=1, descending=True)
    towards = []
    for rank in (0, 1):
        chosen = order[:, rank]
        direction = torch.nn.functional.normalize(parts[torch.arange(len(images)), chosen], dim=1)
        towards.append(torch.einsum("np,npd->nd", direction, waves[chosen]))
    step = ((towards[1] - towards[0]) / math.sqrt(2)).reshape(images.shape)
    assert torch.allclose(step.flatten(1).norm(dim=1), torch.ones(len(images)), atol=1e-4)
    radius = pattern_radius(images).reshape(-1, 1, 1, 1)
    before, strongest, second = read_pattern(images), order[:, 0], order[:, 1]
    assert torch.equal(before, strongest)
    assert torch.equal(read_pattern(images + 0.99 * radius * step), before)
    assert torch.equal(read_pattern(images + 1.01 * radius * step), second)
    assert share(read_shape(images + 1.01 * radius * step), read_shape(images)) >= 0.99, "the shape does not notice"


def test_the_seed_of_the_data_is_an_option(splits: Splits) -> None:
    again, other = planted(PlantedOptions()), planted(PlantedOptions(seed=1))
    assert torch.equal(again.train.pixels, splits.train.pixels)
    assert not torch.equal(other.train.pixels, splits.train.pixels)
    assert not torch.equal(again.train.pixels[:1000], again.test.pixels)


def test_decoding_a_dataset_and_a_model(tmp_path: Path) -> None:
    """A dataset with the patterns of the next class, and a model: what a decoding says of them."""
    options = PlantedOptions(train_images=400, test_images=100)
    ref = DatasetRef(name="planted", options={"train_images": 400, "test_images": 100})
    source = planted(options).train
    moved = paint(source.labels, (source.labels + 1) % 4, options, generator(5, "moved"))
    columns = {"source_index": torch.arange(400), "original_label": source.labels}
    save_dataset(tmp_path / "d", Images(moved, (source.labels + 1) % 4, columns), CLASSES)
    training = TrainSpec(dataset=ref, architecture=ArchitectureRef(name="convnet"), epochs=2, select="last")
    model = execute(training, Inputs(), MemoryContext(tmp_path / "model")).outputs[0].path
    inputs = Inputs({"@d": StoredDataset(tmp_path / "d")}, {"@m": model})
    spec = DecodeSpec(dataset=ref, constructed=(DatasetRef(name="@d"),), models=(ModelRef(name="@m"),), images=200)
    found = execute(spec, inputs, MemoryContext(tmp_path)).figures
    assert found["source"]["pattern"] > 0.98
    (made,) = found["constructed"]
    assert made["pattern"] > 0.98, "the stored label is the pattern's"
    assert made["shape"] < 0.1
    (followed,) = found["models"]
    assert 0 <= followed["shape"] + followed["pattern"] <= 1
