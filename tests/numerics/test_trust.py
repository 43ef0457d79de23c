"""What an evaluation says of itself: its warnings, and that its figures can be counted again by anybody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.cards import ARCHITECTURES
from core.context import Inputs, MemoryContext, Result
from core.images import Splits
from core.models import Classifier, Normalise, load_model, save_model
from core.run import execute
from core.tensorfile import HEADER, read_tensors, write_tensors
from sieve.specs import ArchitectureRef, AttackRef, DatasetRef, EvaluateSpec, ModelRef, Threat
from tests.numerics.conftest import CONVNET
from tests.plugins.rounded import ENTRY as ROUNDED

SHORT = (
    AttackRef(name="apgd", options={"steps": 40}),
    AttackRef(name="apgd", options={"loss": "targeted_ratio", "steps": 40, "restarts": 3}),
    AttackRef(name="square", options={"queries": 200}),
)


def evaluated(folder: Path, path: Path, **fields: Any) -> Result:
    spec = {
        "dataset": DatasetRef(name="digits", limit_test=96),
        "model": ModelRef(name="@m"),
        "threats": (Threat(norm="l2", epsilons=(0.25, 0.5)),),
        "attacks": SHORT,
    }
    return execute(EvaluateSpec(**spec | fields), Inputs(models={"@m": path}), MemoryContext(folder))


@pytest.fixture(scope="module")
def honest(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return evaluated(tmp_path_factory.mktemp("honest"), model_path)


def warned(result: Result) -> set[str]:
    return {said.partition(":")[0] for said in result.figures["cautions"]}


def test_an_honest_model_raises_no_warning_but_that_of_few_images(honest: Result) -> None:
    assert warned(honest) == {"Few images"}
    assert "one of 96 is 1.04 points" in honest.figures["cautions"][0]
    assert honest.figures["probe"]["any_distance"] == 0


def test_rounded_input_raises_them(model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ARCHITECTURES.names()
    monkeypatch.setitem(ARCHITECTURES._entries, "rounded", ROUNDED)
    plain = load_model(model_path)
    body = ROUNDED.build(ROUNDED.options.model_validate(dict(CONVNET.options)), (1, 8, 8))
    body[1].load_state_dict(plain.body.state_dict())  # type: ignore[index]
    masked = Classifier(Normalise(plain.normalise.mean, plain.normalise.std), body, 32, 10)
    masked.head = plain.head
    rounded = ArchitectureRef(name="rounded", options=CONVNET.options)
    save_model(tmp_path / "masked", masked.eval(), rounded, (1, 8, 8), 10)
    result = evaluated(tmp_path / "evaluation", tmp_path / "masked")
    assert {"Zero gradients", "Masked gradients"} <= warned(result)
    masks = [said for said in result.figures["cautions"] if said.startswith("Masked")]
    assert any("an attack without gradients broke" in said for said in masks)
    assert any("larger epsilons do not help" in said for said in masks)


def test_logits_times_ten_thousand_raise_one_and_change_nothing(
    model_path: Path, tmp_path: Path, honest: Result
) -> None:
    sure = load_model(model_path)
    with torch.no_grad():
        sure.head.weight *= 1e4
        sure.head.bias *= 1e4
    save_model(tmp_path / "sure", sure, CONVNET, (1, 8, 8), 10)
    result = evaluated(tmp_path / "evaluation", tmp_path / "sure")
    assert "Zero gradients" in warned(result)
    assert result.figures["robust"]["l2"]["0.5"] == pytest.approx(honest.figures["robust"]["l2"]["0.5"], abs=0.02)


def test_a_short_attack_is_called_not_converged(model_path: Path, tmp_path: Path) -> None:
    weak = (AttackRef(name="pgd", options={"steps": 1, "restarts": 1, "relative_step": 0.3}),)
    assert "Not converged" in warned(evaluated(tmp_path, model_path, attacks=weak))


def verified(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """In a process of its own that finds no package of this project unless it is asked for the model."""
    isolated = [] if "--model" in arguments else ["-I"]
    command = [sys.executable, *isolated, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_whoever_downloads_it_counts_every_accuracy_again(honest: Result, model_path: Path, tmp_path: Path) -> None:
    files = {output.name: output.path for output in honest.outputs}
    assert list(files) == ["evaluation.safetensors", "examples.safetensors", "verify.py"]
    told = verified(files["verify.py"], files["examples.safetensors"])
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"l2 0.5: {100 * honest.figures['robust']['l2']['0.5']:.2f} % claimed" in told.stdout
    assert "fog, severity 5" in told.stdout
    assert told.stdout.endswith("all held\n")


@pytest.mark.parametrize("forged", ["claim", "x_adv/l2", "logits/l2"])
def test_what_was_forged_is_found(forged: str, honest: Result, tmp_path: Path) -> None:
    files = {output.name: output.path for output in honest.outputs}
    kept, header = read_tensors(files["examples.safetensors"])
    if forged == "claim":
        header["claimed"]["robust"]["l2"]["0.5"] += 0.01
    elif forged == "x_adv/l2":
        kept[forged] = (kept[forged] * 1.001).clamp(0, 1)
    else:
        kept[forged] = kept["logits/clean"]
    write_tensors(tmp_path / "forged", kept, header)
    told = verified(files["verify.py"], tmp_path / "forged")
    assert told.returncode == 1
    assert "WRONG" in told.stdout


def test_kept_images_are_the_ones_that_were_judged(honest: Result, digits: Splits, model: Classifier) -> None:
    kept, header = read_tensors({output.name: output.path for output in honest.outputs}["examples.safetensors"])
    assert json.loads(json.dumps(header))["claimed"]["standard"] == honest.figures["standard"]
    assert HEADER == "feature_sieve"
    with torch.no_grad():
        assert torch.equal(model(kept["x_adv/l2"]).argmax(1), kept["logits/l2"].argmax(1))
    assert len(kept["images"]) == 96
    assert kept["norm/l2"].max() <= 0.5 * (1 + 1e-6)
