"""The study's graph."""

from __future__ import annotations

import pytest

from core.references import references
from core.studies import CONSTRUCTED, ROWS, main_study, training_seed
from sieve.specs import PRESETS, ChooseSpec, StudySpec, SynthesizeSpec, TrainSpec


@pytest.mark.parametrize("preset", PRESETS)
def test_every_job_comes_after_those_it_needs(preset: str) -> None:
    nodes = main_study(StudySpec.model_validate({"preset": preset, "seeds": [0, 5]}))
    before: set[str] = set()
    for node in nodes:
        needs = {ref.name[1:] for _, ref in references(node.spec) if ref.name.startswith("@")}
        assert needs <= before, node.name
        before.add(node.name)
    assert nodes[-1].name == "report"
    parts = nodes[-1].spec.parts  # type: ignore[attr-defined]
    assert len(parts) == 2 * (2 * len(ROWS) + len(CONSTRUCTED))
    assert len({(part.role, part.row, part.seed) for part in parts}) == len(parts)


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


def test_learning_rates_are_chosen_by_jobs_that_never_see_a_test_image() -> None:
    rates = {"random_target_learning_rates": [0.05, 0.2], "deterministic_target_learning_rates": [0.1]}
    nodes = {node.name: node.spec for node in main_study(StudySpec.model_validate({"preset": "digits"} | rates))}
    for row, given in {"D_rand": (0.05, 0.2), "D_rand_permuted": (0.05, 0.2), "D_det": (0.1,)}.items():
        candidates = [f"0/candidate/{row}.{number}" for number in range(1, len(given) + 1)]
        trainings = [nodes[name] for name in candidates]
        assert all(isinstance(one, TrainSpec) for one in trainings)
        assert tuple(one.learning_rate for one in trainings) == given  # type: ignore[attr-defined]
        assert {one.seed for one in trainings} == {training_seed(0, row)}, "they differ in nothing else"  # type: ignore[attr-defined]
        assert all(one.validate_on == nodes["0/train/D"].dataset for one in trainings)  # type: ignore[attr-defined]
        choice = nodes[f"0/train/{row}"]
        assert isinstance(choice, ChooseSpec)
        assert [ref.name for ref in choice.models] == ["@" + name for name in candidates]
    assert isinstance(nodes["0/train/D_R"], TrainSpec)


def test_several_sources_take_turns_at_the_targeted_sets() -> None:
    spec = StudySpec.model_validate({"preset": "digits", "sources": 3})
    nodes = {node.name: node.spec for node in main_study(spec)}
    further = ["@0/source/D.2", "@0/source/D.3"]
    for row, wanted in {"D_R": [], "D_NR": [], "D_rand": further, "D_det": further}.items():
        made = nodes[f"0/synthesize/{row}"]
        assert isinstance(made, SynthesizeSpec)
        assert [ref.name for ref in made.further_models] == wanted
    assert nodes["0/source/D.2"].seed != nodes["0/source/D.3"].seed  # type: ignore[attr-defined]
