"""What people bring to attack: weights under their own names become a model, and what does not fit is refused with the
tensor's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.architectures.resnet import aliases
from core.models import load_model, new_classifier
from formats.routines.ingest_model import other_names
from formats.weights import Refused, Task, header, weights
from sieve import errors
from sieve.cli import run
from sieve.specs import ArchitectureRef
from tests.loaders.conftest import Downloaded

CONVNET = ArchitectureRef(name="convnet", options={"widths": [4, 8]})
SHAPE = (3, 8, 8)
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def fresh(architecture: ArchitectureRef = CONVNET) -> Any:
    model = new_classifier(architecture, SHAPE, 12, mean=MEAN, std=STD, seed=1)
    model(torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(0)))  # moves the running statistics
    return model.eval()


def plain(model: Any) -> dict[str, Tensor]:
    """Its tensors but those of the normalisation, as another code base would save them."""
    return {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("normalise.")}


def looked_through(tmp_path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Any:
    model = fresh()
    save_file(tensors, tmp_path / "w", metadata)
    wanted = {name: list(value.shape) for name, value in model.state_dict().items()}
    return weights(Task(str(tmp_path / "w"), str(tmp_path / "out"), wanted))


def test_a_lab_attacks_its_own_model(downloaded: Downloaded, tmp_path: Path) -> None:
    client, model = downloaded.client, fresh()
    save_file({f"module.{name}": value for name, value in plain(model).items()}, tmp_path / "mine.safetensors")
    how = {"architecture": CONVNET.model_dump(mode="json"), "shape": SHAPE, "classes": 12}
    job = client.ingest_model(tmp_path / "mine.safetensors", **how, mean=MEAN, std=STD)
    judged = {"kind": "evaluate", "model": job.id, "dataset": "digits"}
    with pytest.raises(errors.Refused, match="/dataset"):  # its card is known before it has run
        client.submit(judged)
    made = client.model(job.wait(timeout=120).outputs["model"])
    assert (made.architecture, made.shape, made.classes) == ("convnet", SHAPE, 12)
    x = torch.rand(5, *SHAPE)
    theirs = load_model(made.download(tmp_path / "theirs.safetensors"))
    assert torch.equal(theirs(x), model(x))
    assert job.result is not None
    assert job.result["mean"] == pytest.approx(MEAN)
    (constructed,) = {export.spec["dataset"]["name"] for export in downloaded.exports.values()}
    how = {"method": "random_target", "epsilon": 0.5, "steps": 2}
    attacked = client.submit({"kind": "synthesize", "dataset": constructed, "model": made.id, "construction": how})
    nodes = client.dataset(attacked.wait(timeout=120).outputs["dataset"]).lineage()["nodes"]
    assert {"dataset", "model", "upload", "folder"} == {node["what"] for node in nodes}
    sent = next(node for node in nodes if node["what"] == "upload")
    assert (sent["name"], len(sent["sha256"])) == ("mine.safetensors", 64)


def test_a_file_of_this_service_says_all_by_itself(
    downloaded: Downloaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = downloaded.client.transport.config
    monkeypatch.setenv("SIEVE_URL", config.url)
    monkeypatch.setenv("SIEVE_API_KEY", str(config.key))
    first = next(iter(downloaded.client.models()))
    file = first.download(tmp_path / "model.safetensors")
    assert run(["upload", str(file)]) == 0
    said = capsys.readouterr()
    again = downloaded.client.model(said.out.strip())
    assert again.sha256 == first.sha256
    assert "12 classes" in said.err
    assert run(["upload", str(file), "--architecture", "resnet", "--dataset", "noise"]) == 1
    assert "the network has no tensor body.0.weight" not in (refused := capsys.readouterr().err)
    assert "tensor" in refused
    assert run(["upload", str(file), "--size", "3", "3"]) == 2
    assert run(["upload", str(downloaded.files["npz"]), "--mean", "0"]) == 2


def test_the_usual_names_of_residual_networks_are_known(tmp_path: Path) -> None:
    for depth, last in ((18, 2), (50, 3)):
        model = new_classifier(
            ArchitectureRef(name="resnet", options={"depth": depth, "width": 2}), SHAPE, 10, mean=MEAN, std=STD, seed=0
        )
        own = model.state_dict()
        found = other_names(own) | aliases(own)
        usual = {"conv1.weight", "bn1.running_var", f"layer4.1.bn{last}.bias", "layer2.0.shortcut.1.weight", "fc.bias"}
        assert usual <= found.keys()
        assert "layer1.1.shortcut.0.weight" not in found
        assert {name for name in found.values() if name.startswith("body.")} == {
            name for name in own if name.startswith("body.")
        }, "every tensor of the body has another name"
        other = {
            mine: name
            for name, mine in found.items()
            if name.split(".")[0] not in ("linear", "classifier", "head", "0", "1")
        }
        renamed = {f"module.{other[name]}": value for name, value in own.items() if name in other}
        save_file(
            renamed | {"normalizer.new_mean": torch.tensor(MEAN), "normalizer.new_std": torch.tensor(STD)},
            tmp_path / "w",
        )
        wanted = {name: list(value.shape) for name, value in own.items()}
        assert weights(Task(str(tmp_path / "w"), str(tmp_path / "out"), wanted, found))["normalises"]
        back = load_file(tmp_path / "out")
        assert all(torch.equal(back[name].reshape(value.shape), value) for name, value in own.items() if name in back)
        assert len(back) == sum(not name.endswith("num_batches_tracked") for name in own)


def without(name: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: tensors.pop(name)


def other(name: str, value: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: tensors.update({name: value(tensors[name])})


def infinite(value: Tensor) -> Tensor:
    value.flatten()[0] = torch.inf
    return value


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without("body.0.weight"), "it has no tensor body.0.weight"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "the network has no tensor extra"),
        (
            other("head.weight", lambda value: value[:10]),
            r"head.weight has shape \[10, 8\]; the network's has \[12, 8\]",
        ),
        (other("head.bias", infinite), "head.bias has 1 values that are not finite"),
        (other("head.bias", lambda value: value.double()), "head.bias is F64; weights are F32, F16, BF16"),
        (other("body.1.running_var", lambda value: -value), "body.1.running_var must be at least 0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(spoil: Any, said: str, tmp_path: Path) -> None:
    tensors = plain(fresh())
    spoil(tensors)
    with pytest.raises(Refused, match=said):
        looked_through(tmp_path, tensors)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_halves_become_float32_exactly(kind: torch.dtype, tmp_path: Path) -> None:
    tensors = {name: value.to(kind) if value.is_floating_point() else value for name, value in plain(fresh()).items()}
    looked_through(tmp_path, tensors)
    for name, value in load_file(tmp_path / "out").items():
        assert torch.equal(value, tensors[name].float()), name


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    whole = {"head.weight": torch.zeros(2)}
    save_file(whole, tmp_path / "whole", {"mean": "0.5, 0.4", "std": json.dumps([1, 2])})
    assert header(tmp_path / "whole") == {"mean": [0.5, 0.4], "std": [1, 2]}
    content = (tmp_path / "whole").read_bytes()
    spoiled = (content[:-1], b"PK\x03\x04", (2**60).to_bytes(8, "little") + content[8:], b"\x80\x04\x95")
    for number, one in enumerate(spoiled):
        (tmp_path / str(number)).write_bytes(one)
        with pytest.raises(Refused, match="no whole safetensors file"):
            header(tmp_path / str(number))
