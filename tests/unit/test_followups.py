"""Follow-up studies: their graphs, a small one through to its report, and what the report says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.study_in_process import run_study
from core.cards import KINDS
from core.planning import parse
from core.references import references
from sieve.specs import FOLLOWUP_PRESETS, FOLLOWUP_SUMMARIES, TrainSpec

PRESETS = [(kind, preset) for kind, presets in FOLLOWUP_PRESETS.items() for preset in presets]
QUICK = {"epochs": 3, "batch_size": 64, "learning_rate": 0.2}
SMALL = {"seeds": [0, 1], "dataset": {"name": "digits", "limit_train": 500}}


def test_every_preset_is_said_what_it_is_for() -> None:
    assert {preset for _, preset in PRESETS} == set(FOLLOWUP_SUMMARIES)


@pytest.mark.parametrize(("kind", "preset"), PRESETS)
def test_every_job_comes_after_those_it_needs_and_all_are_concluded(kind: str, preset: str) -> None:
    expand = KINDS.get(kind).expand
    assert expand is not None
    nodes = expand(parse({"kind": kind, "preset": preset}))
    before: set[str] = set()
    for node in nodes:
        needs = {ref.name[1:] for _, ref in references(node.spec) if ref.name.startswith("@")}
        assert needs <= before, node.name
        assert node.name not in before
        before.add(node.name)
    assert nodes[-1].name == "report"
    assert {part.node for part in nodes[-1].spec.parts} == before - {"report"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [kind for kind in FOLLOWUP_PRESETS if kind != "gaussian"])
def test_no_training_starts_from_another_ones_initial_weights_but_a_control(kind: str) -> None:
    expand = KINDS.get(kind).expand
    assert expand is not None
    nodes = expand(parse({"kind": kind, "preset": next(iter(FOLLOWUP_PRESETS[kind])), "trainings": 2}))
    trainings = [node.spec for node in nodes if isinstance(node.spec, TrainSpec)]
    seeds = [(spec.seed, spec.permute_labels) for spec in trainings]
    assert len(set(seeds)) == len(seeds)
    assert {seed for seed, permuted in seeds if permuted} <= {seed for seed, permuted in seeds if not permuted}


def report_of(folder: Path) -> tuple[dict[str, Any], str, str]:
    texts = [(folder / "report" / f"report.{form}").read_text() for form in ("json", "md", "html")]
    return json.loads(texts[0]), texts[1], texts[2]


def holds_together(numbers: Mapping[str, Any], markdown: str, page: str) -> None:
    """The three forms say the same, and each claim says what its rule asks of a reader."""
    for claim in numbers["claims"]:
        for text in (claim["claim"], claim["said"], claim["control"]["said"], claim["rule"]):
            assert text in markdown
        said = "It held here:" if claim["held"] else ("It did not hold here:", "It is not decided here:")
        assert claim["said"].startswith(said)
        assert claim["measured"]["low"] <= claim["measured"]["mean"] <= claim["measured"]["high"]
    for one in numbers["published"]["figures"]:
        assert one["source"] in markdown
        assert ("†" in next(line for line in markdown.splitlines() if one["what"] in line)) is (
            one["certainty"] == "memory"
        )
    assert "@" not in re.sub(r"@media[^{]*", "", page.split("</style>", maxsplit=1)[1].split("<script>", maxsplit=1)[0])
    assert "http" not in page.split("<script>", maxsplit=1)[0].replace("http-equiv", "")
    assert page.count('class="plot"') == len(numbers["plots"])


def test_learning_from_wrong_labels_small(tmp_path: Path) -> None:
    spec = parse(
        {"kind": "wrong_labels", "preset": "digits", "training": QUICK | {"epochs": 12}, "trainings": 1, **SMALL}
        | {"source_training": {"epochs": 5}}
    )
    figures, _ = run_study(spec, tmp_path)
    numbers, markdown, page = report_of(tmp_path)
    holds_together(numbers, markdown, page)
    assert numbers == figures["report"]
    (claim,) = numbers["claims"]
    assert not claim["control"]["held"], claim["control"]["said"]
    assert (claim["measured"]["n_images"], claim["measured"]["n_seeds_source"]) == (360, 2)
    again, _ = run_study(spec, tmp_path)  # nothing is done twice
    assert again == figures


def test_the_gaussian_model_is_drawn_for_each_epsilon(tmp_path: Path) -> None:
    run_study(parse({"kind": "gaussian", "epsilons": [0.5, 1.0], "draws": 20_000}), tmp_path)
    numbers, markdown, page = report_of(tmp_path)
    holds_together(numbers, markdown, page)
    assert [claim["held"] for claim in numbers["claims"]] == [True, True]
    assert [claim["control"]["held"] for claim in numbers["claims"]] == [False, False]
    assert len(numbers["plots"]) == 3
    assert {series["mark"] for series in numbers["plots"][0]["series"]} == {None, "arrows"}


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "preset"), [pair for pair in PRESETS if pair[1] == "digits"])
def test_every_control_of_a_preset_says_no(kind: str, preset: str, tmp_path: Path) -> None:
    run_study(parse({"kind": kind, "preset": preset}), tmp_path)
    numbers, markdown, page = report_of(tmp_path)
    holds_together(numbers, markdown, page)
    assert not [claim["control"]["said"] for claim in numbers["claims"] if claim["control"]["held"]]


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "preset"), [pair for pair in PRESETS if pair[1] not in ("digits", "cifar10")])
def test_every_other_preset_runs_through_to_its_report(kind: str, preset: str, tmp_path: Path) -> None:
    run_study(parse({"kind": kind, "preset": preset} | ({} if kind == "gaussian" else {"seeds": [0]})), tmp_path)
    holds_together(*report_of(tmp_path))
