"""A lab's own dataset, network, attack and job kind: one file each in another distribution, found by entry points."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from core.cards import ARCHITECTURES, ATTACKS, DATASETS, KINDS
from core.context import Inputs, MemoryContext
from core.images import open_dataset
from core.models import load_model, new_classifier, save_model
from core.planning import parse
from core.run import execute
from sieve.specs import ArchitectureRef, AttackRef, DatasetRef, EvaluateSpec, ModelRef, Threat

PLUGINS = Path(__file__).parent.parent / "plugins"
ENTRY_POINTS = """
[feature_sieve.datasets]
stripes = stripes:ENTRY
[feature_sieve.architectures]
perceptron = perceptron:ENTRY
[feature_sieve.attacks]
one_step = one_step:ENTRY
[feature_sieve.kinds]
rehearsal = rehearsal:ENTRY
"""

REGISTRIES = (DATASETS, ARCHITECTURES, ATTACKS, KINDS)


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-ins as an installed distribution: their modules and its metadata are on the path."""
    for registry in REGISTRIES:
        assert registry.names()  # found without the plug-ins; it comes back after the test
        monkeypatch.delitem(registry.__dict__, "_entries")
    metadata = tmp_path / "lab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(PLUGINS))


@pytest.mark.usefixtures("_installed")
def test_a_dataset_and_an_architecture_are_one_file_each(tmp_path: Path) -> None:
    splits = open_dataset(DatasetRef(name="stripes", options={"size": 12}), Inputs(), tmp_path)
    reference = ArchitectureRef(name="perceptron", options={"hidden": 20})
    model = new_classifier(reference, (1, 12, 12), 2, mean=[0.5], std=[0.5], seed=0)
    x, y = splits.train.batch(slice(None)), splits.train.labels
    assert model.features(x).shape == (40, 20)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(30):
        optimiser.zero_grad()
        cross_entropy(model(x), y).backward()
        optimiser.step()
    save_model(tmp_path / "m", model, reference, (1, 12, 12), 2)
    right = load_model(tmp_path / "m")(splits.test.batch(slice(None))).argmax(1) == splits.test.labels
    assert bool(right.all())


@pytest.mark.usefixtures("_installed")
def test_an_attack_is_one_file(tmp_path: Path) -> None:
    reference = ArchitectureRef(name="perceptron")
    model = new_classifier(reference, (1, 8, 8), 2, mean=[0.5], std=[0.5], seed=0)
    save_model(tmp_path / "m", model, reference, (1, 8, 8), 2)
    spec = EvaluateSpec(
        dataset=DatasetRef(name="stripes"),
        model=ModelRef(name="job_m"),
        threats=(Threat(norm="linf", epsilons=(0.5,)),),
        attacks=(AttackRef(name="one_step"),),
    )
    figures = execute(spec, Inputs(models={"job_m": tmp_path / "m"}), MemoryContext(tmp_path / "scratch")).figures
    assert figures["robust"]["linf"]["0.5"] <= figures["standard"]
    assert list(figures["by_attack"]["linf"]["0.5"]) == ["one step"]


@pytest.mark.usefixtures("_installed")
def test_a_job_kind_is_one_file(tmp_path: Path) -> None:
    context = MemoryContext(tmp_path)
    execute(parse({"kind": "rehearsal", "steps": 3}), Inputs(), context)
    assert [step for step, _ in context.metrics["total"]] == [1, 2, 3]


def test_without_the_distribution_they_do_not_exist() -> None:
    names = {name for registry in REGISTRIES for name in registry.names()}
    assert not names & {"stripes", "perceptron", "one_step", "rehearsal"}
