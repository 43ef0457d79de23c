"""The study's graph."""

from __future__ import annotations

import pytest

from core.references import references
from core.studies import CONSTRUCTED, ROWS, main_study, training_seed
from sieve.specs import PRESETS, StudySpec, SynthesizeSpec, TrainSpec


@pytest.mark.parametrize("preset", PRESETS)
def test_every_job_comes_after_those_it_needs(preset: str) -> None:
    nodes = main_study(StudySpec.model_validate({"preset": preset, "seeds": [0, 5]}))
    before: set[str] = set()
    for node in nodes:
        needs = {ref.name[1:] for _, ref in references(node.spec) if ref.name.startswith("@")}
        assert needs <= before, node.name
        before.add(node.name)
    assert nodes[-1].name == "report"
    assert len(nodes) == 2 * (2 * len(ROWS) + len(CONSTRUCTED)) + 1


def test_no_training_starts_from_another_ones_initial_weights_but_the_control() -> None:
    nodes = main_study(StudySpec.model_validate({"preset": "digits", "seeds": [0, 1]}))
    seeds = {node.name: node.spec.seed for node in nodes if isinstance(node.spec, TrainSpec)}
    for study in (0, 1):
        assert (
            seeds[f"{study}/train/D_rand_permuted"] == seeds[f"{study}/train/D_rand"] == training_seed(study, "D_rand")
        )
    assert len(set(seeds.values())) == len(seeds) - 2
    assert all(0 <= seed < 2**32 for seed in seeds.values())


def test_sources_and_controls_are_where_they_belong() -> None:
    nodes = {node.name: node.spec for node in main_study(StudySpec.model_validate({"preset": "digits", "seeds": [3]}))}
    sources = {row: nodes[f"3/synthesize/{row}"] for row in CONSTRUCTED}
    assert all(isinstance(spec, SynthesizeSpec) and spec.seed == 3 for spec in sources.values())
    assert {row: spec.model.name for row, spec in sources.items()} == {  # type: ignore[attr-defined]
        "D_R": "@3/train/D_adv",
        "D_NR": "@3/train/D",
        "D_rand": "@3/train/D",
        "D_det": "@3/train/D",
    }
    trainings = {row: nodes[f"3/train/{row}"] for row in ROWS}
    assert [row for row, spec in trainings.items() if spec.adversary] == ["D_adv"]  # type: ignore[attr-defined]
    assert [row for row, spec in trainings.items() if spec.permute_labels] == ["D_rand_permuted"]  # type: ignore[attr-defined]
    assert trainings["D_rand_permuted"].dataset == trainings["D_rand"].dataset  # type: ignore[attr-defined]
