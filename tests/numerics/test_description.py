"""Descriptions: what they say is what a slow, plain way finds; planted copies are found; files are whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.context import Inputs, MemoryContext, Result, StoredDataset
from core.description_figures import plots
from core.images import Images, Splits, open_dataset, save_dataset
from core.models import new_classifier, save_model
from core.neighbours import nearest
from core.pixels import pixel_statistics, spectrum
from core.planning import parse
from core.run import execute
from sieve.specs import ArchitectureRef, DatasetRef


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return open_dataset(DatasetRef(name="digits"), Inputs(), tmp_path_factory.mktemp("data"))


def test_pixel_statistics_are_those_of_all_pixels() -> None:
    draws = torch.Generator().manual_seed(0)
    pixels = torch.rand(300, 3, 5, 4, generator=draws).mul(1.4).sub(0.2).clamp(0, 1)
    pixels[0] = torch.randint(256, (3, 5, 4), generator=draws) / 255
    told = pixel_statistics(Images(pixels, torch.zeros(300, dtype=torch.int64)))
    by_channel = pixels.double().transpose(0, 1).flatten(1)
    assert told["mean"] == pytest.approx(by_channel.mean(1).tolist())
    assert told["std"] == pytest.approx(by_channel.std(1, correction=0).tolist())
    assert told["at_zero"] == pytest.approx((pixels == 0).double().mean().item())
    assert told["at_one"] == pytest.approx((pixels == 1).double().mean().item())
    whole = (np.abs(pixels.numpy() - np.rint(pixels.numpy() * 255) / 255) <= 1e-6).mean()
    assert told["eight_bits"] == pytest.approx(whole, abs=2e-4)
    counted, _ = np.histogram(pixels[:, 1].numpy(), 64, (0, 1))
    assert told["histogram"]["counts"][1] == pytest.approx(counted, abs=2)


def test_a_wave_shows_in_the_spectrum_at_its_frequency() -> None:
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16)
    images = (0.5 + 0.2 * wave).expand(2, 1, 16, 16)
    powers = spectrum(images)
    assert len(powers) == 9
    assert powers[3] == max(powers)
    assert sum(powers[:3] + powers[4:]) < 1e-9


def test_nearest_is_what_comparing_all_gives() -> None:
    draws = torch.Generator().manual_seed(1)
    candidates = Images(torch.rand(600, 1, 4, 4, generator=draws), torch.zeros(600, dtype=torch.int64))
    queries = torch.cat([torch.rand(20, 1, 4, 4, generator=draws), candidates.pixels[[5, 599]]])
    places, distances = nearest(queries, candidates, 3)
    every = torch.cdist(queries.flatten(1).double(), candidates.pixels.flatten(1).double())
    assert torch.allclose(distances.double(), every.sort(1).values[:, :3], atol=1e-6)
    assert places[-2:, 0].tolist() == [5, 599]
    assert distances[-2:, 0].tolist() == [0, 0]
    others, _ = nearest(candidates.pixels[[5, 599]], candidates, leave_out=torch.tensor([5, 599]))
    assert others[:, 0].tolist() != [5, 599]


def described(spec: dict[str, object], inputs: Inputs, folder: Path) -> Result:
    return execute(parse({"kind": "describe", **spec}), inputs, MemoryContext(folder))


def test_copies_and_changes_of_a_source_are_found(digits: Splits, tmp_path: Path) -> None:
    """200 images: half of them are in the source as they are; no job made them."""
    train = digits.train
    pixels = train.pixels[:200].clone()
    pixels[100:] = (pixels[100:] + 0.05).clamp(0, 1)
    save_dataset(tmp_path / "d", Images(pixels, (train.labels[:200] + 1) % 10), digits.classes)
    inputs = Inputs(datasets={"ds_1": StoredDataset(tmp_path / "d")})
    told = described({"dataset": "ds_1", "source": "digits"}, inputs, tmp_path / "out").figures
    assert told["neighbours"]["identical"] == 0.5
    assert told["neighbours"]["has_stored_label"] < 0.05
    assert told["balance"]["counts"]["train"] == torch.bincount((train.labels[:200] + 1) % 10, minlength=10).tolist()
    assert told["moved"] is None
    assert told["readings"] == []


def test_a_constructed_dataset_is_described_whole(digits: Splits, tmp_path: Path) -> None:
    architecture = ArchitectureRef(name="convnet", options={"widths": [4, 4]})
    model = new_classifier(architecture, (1, 8, 8), 10, mean=[0.3], std=[0.4], seed=0)
    save_model(tmp_path / "m", model, architecture, (1, 8, 8), 10)
    how = {"method": "random_target", "epsilon": 0.5, "steps": 2}
    spec = {"kind": "synthesize", "dataset": {"name": "digits", "limit_train": 300}, "model": "m", "construction": how}
    inputs = Inputs(models={"m": tmp_path / "m"})
    made = execute(parse(spec), inputs, MemoryContext(tmp_path / "made"))
    inputs = Inputs(
        models={"m": tmp_path / "m", "mdl_2": tmp_path / "m"},
        datasets={"ds_1": StoredDataset(made.outputs[0].path)},
        provenance={"ds_1": {"spec": parse(spec).model_dump(mode="json")}},
    )
    trial = {"architecture": "convnet", "epochs": 1, "seeds": [0, 1]}
    asked = {"dataset": "ds_1", "models": ["mdl_2"], "rounding": trial}
    result = described(asked, inputs, tmp_path / "out")
    told = result.figures
    assert told["source"] == "digits"
    assert told["moved"]["start_l2"]["mean"] == pytest.approx(made.figures["norm"]["mean"], rel=1e-5)
    assert told["neighbours"]["is_its_start"] > 0.9
    assert told["spectrum"].keys() == {"dataset", "source", "change"}
    source, other = told["readings"]
    assert (source["name"], other["name"]) == ("source model", "mdl_2")
    assert source["stored"]["fraction"] == other["stored"]["fraction"] == made.figures["success"]
    assert told["rounding"]["effect"]["largest"] <= 1 / 510 + 1e-6
    assert [pair["seed"] for pair in told["rounding"]["trial"]["pairs"]] == [0, 1]
    assert told["rounding"]["trial"]["images"] == 360
    files = {output.name: output.path for output in result.outputs}
    assert files.keys() == {"report.json", "report.md", "report.html", "sheet.png", "neighbours.png"}
    document = json.loads(files["report.json"].read_text())
    assert document["plots"].keys() == plots(told).keys()
    assert all(drawn["data"] for section in document["plots"].values() for drawn in section)
    again = described(asked, inputs, tmp_path / "again")
    for before, after in zip(result.outputs, again.outputs, strict=True):
        assert before.path.read_bytes() == after.path.read_bytes(), before.name
