"""benchmarks/gpu.sh, on the processor and tiny: the path that a borrowed machine with a GPU would take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.gpu import images
from benchmarks.gpu.call import PIECE, Call
from core.images import Splits
from core.models import load_model, new_classifier, save_model
from sieve.specs import ArchitectureRef

ROOT = Path(__file__).parent.parent.parent
TINY = ("--device", "cpu", "--tiny")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of noise, bright and dark, packed."""
    folder = tmp_path_factory.mktemp("images")
    draws = np.random.default_rng(0)
    for split, count in (("train", 48), ("test", 12)):
        for at, name in enumerate(("dark", "bright")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(128 * at, 128 * at + 128, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number:04}.png")
    return images.pack(folder, tmp_path_factory.mktemp("packed"))


def call(packed: Path, seconds: int, out: Path, *options: str) -> Any:
    """One call; the figures that it left."""
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [str(ROOT / "benchmarks" / "gpu.sh"), str(packed), str(seconds), str(out), *TINY, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "figures.json").read_text())


@pytest.mark.full
def test_every_figure_is_found(packed: Path, tmp_path: Path) -> None:
    parts = ("matrix", "attacks_resnet18", "attacks_resnet50", "adversarial_training", "feature_matching")
    found = call(packed, 600, tmp_path / "out", *parts)
    assert not {name: found[name]["error"] for name in parts if "error" in found[name]}
    assert found["matrix"]["tflops"] > 0
    for name in ("attacks_resnet18", "attacks_resnet50"):
        assert found[name]["fraction_of_matrix_rate"] > 0
        assert set(found[name]["contestants"]) | set(found[name]["missing_peers"]) == {
            "ours", "torchattacks", "foolbox", "art",
        }  # fmt: skip
    assert found["feature_matching"]["speedup"] > 0


def test_the_study_goes_on_in_the_next_call(packed: Path, tmp_path: Path) -> None:
    whole = call(packed, 600, tmp_path / "out", "study")
    study = whole["study"]
    assert study["complete"]
    assert set(study["table"]) == {"D", "D_adv", "D_R", "D_NR", "D_rand", "D_det", "D_rand_permuted"}
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["figures.json", "model-D.0", "model-D_adv.0"]

    redone = {"evaluate/D_R", "train/D_R", "read/D_R by D"}
    study["jobs"] = {name: job for name, job in study["jobs"].items() if name not in redone}
    (tmp_path / "out" / "figures.json").write_text(json.dumps(whole))
    again = call(packed, 600, tmp_path / "next", "study", "--before", str(tmp_path / "out"))["study"]
    assert again["complete"]
    assert {name for name, job in again["jobs"].items() if job["call"] == 2} == redone
    assert again["jobs"]["train/D"] == study["jobs"]["train/D"], "it was kept"


def test_without_time_nothing_is_begun_and_nothing_is_lost(packed: Path, tmp_path: Path) -> None:
    found = call(packed, 0, tmp_path / "out", "study")
    assert found["calls"][0]["budget_seconds"] <= 0
    assert not found["study"]["jobs"]


def test_a_kept_model_comes_in_pieces_and_differs_by_rounding_alone(tmp_path: Path) -> None:
    large = ArchitectureRef(name="resnet", options={"depth": 18, "width": 64})
    model = new_classifier(large, (3, 32, 32), 10, mean=[0.5] * 3, std=[0.25] * 3, seed=0)
    path = tmp_path / "model.safetensors"
    save_model(path, model, large, (3, 32, 32), 10)
    none = Splits(*(None, None), classes=())  # type: ignore[arg-type]
    here = Call(torch.device("cpu"), none, seconds=1, scratch=tmp_path, out=tmp_path / "out", tiny=True)
    here.keep_model("model-D", path)
    sizes = [piece.stat().st_size for piece in (tmp_path / "out").iterdir()]
    assert len(sizes) == 2, "both source models and the figures are no more than 8 files"
    assert max(sizes) <= PIECE
    kept = here.kept_model("model-D")
    assert kept is not None
    for name, tensor in load_model(kept).state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-6)
    assert here.kept_model("model-D_adv") is None
