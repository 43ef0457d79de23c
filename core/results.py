"""A study's figures, gathered into its report's numbers. Rates are percent there, fractions in the jobs' figures.

Nothing timed and no job id goes inside: equal results give equal bytes, however often the study was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from core.cards import ATTACKS
from core.published import published
from core.registry import parse_options
from core.statistics import Estimate, estimate
from core.studies import CONSTRUCTED, ROWS
from core.wording import INTERVALS, JUDGED, row_sentence
from sieve.specs import AttackRef, EvaluationRecipe, ReportSpec, StudySpec

Figures = Mapping[str, Any]
Parts = dict[tuple[str, str], list[tuple[int, str]]]
"""Role and row -> one (seed, job name) a seed, in the study's order of seeds."""

_PERCENT = ("success", "success_where_changed", "at_surface", "nearer_to_start", "source_reads_label")
_MEASURES = ("norm", "feature_distance")
_HISTOGRAMS = ("norm_histogram", "feature_distance_histogram")


def report_numbers(spec: ReportSpec, figures: Mapping[str, Figures], classes: Sequence[str]) -> dict[str, Any]:
    """Everything that the report says in numbers, as JSON values.

    Args:
        spec: the report's spec; its parts name the study's jobs.
        figures: by job name, the figures of each part.
        classes: class names of the study's dataset.
    """
    parts = parts_by_row(spec)
    figures = {job: in_order(found) for job, found in figures.items()}
    rows = [row for row in ROWS if ("evaluate", row) in parts]
    return {
        "dataset": spec.study.dataset.name,
        "classes": list(classes),
        "chance": percent(1 / len(classes)),
        "norm": main_norm(spec.study.evaluation),
        "rows": [_row(row, spec.study, parts, figures) for row in rows],
        "readings": [_reading(model, row, parts, figures) for model in ("D", "D_adv") for row in _constructed(parts)],
        "constructions": [_construction(row, parts, figures) for row in _constructed(parts)],
        "judged": judged(spec.study.evaluation),
        "cautions": [
            {"row": part.row, "role": part.role, "seed": part.seed, "said": said}
            for part in spec.parts
            for said in figures[part.job.name].get("cautions", ())  # a job of an older version has none
        ],
        "published": published(spec.study.dataset.name),
        "study": spec.study.model_dump(mode="json"),
    }


def parts_by_row(spec: ReportSpec) -> Parts:
    """The study's jobs by role and row."""
    parts: Parts = {}
    for part in sorted(spec.parts, key=lambda part: spec.study.seeds.index(part.seed)):
        parts.setdefault((part.role, part.row), []).append((part.seed, part.job.name))
    return parts


def main_norm(recipe: EvaluationRecipe) -> str:
    """The norm of the main table: l2 where it was judged, else the first one (`l2` too where none was)."""
    norms = [threat.norm for threat in recipe.threats]
    return "l2" if "l2" in norms or not norms else norms[0]


def judged(recipe: EvaluationRecipe) -> dict[str, Any]:
    """How every model was judged: threats, attacks with all their options, noise, and the rule in a sentence."""
    return {
        "threats": [threat.model_dump(mode="json") for threat in recipe.threats],
        "attacks": [{"name": ref.name, "options": _options(ref)} for ref in recipe.attacks],
        "noise": list(recipe.noise),
        "text": JUDGED,
    }


def in_order(tree: Any) -> Any:
    """Nested mappings with their keys sorted, numbers by size: figures that were stored come back in any order."""
    if isinstance(tree, Mapping):
        return {key: in_order(tree[key]) for key in sorted(tree, key=_rank)}
    return [in_order(item) for item in tree] if isinstance(tree, list) else tree


def _rank(key: str) -> tuple[float, str]:
    try:
        return float(key), ""
    except ValueError:
        return math.inf, key


def percent(tree: Any) -> Any:
    """Fractions as percent, rounded to 1e-4, through nested mappings; None stays."""
    if isinstance(tree, Mapping):
        return {key: percent(value) for key, value in tree.items()}
    return None if tree is None else round(100 * tree, 4)


def mean_over(trees: Sequence[Any]) -> Any:
    """Leaf by leaf, the mean of equally nested mappings of numbers; None where a leaf is None or not finite."""
    if isinstance(trees[0], Mapping):
        return {key: mean_over([tree[key] for tree in trees]) for key in trees[0]}
    if any(leaf is None or not math.isfinite(leaf) for leaf in trees):
        return None
    return round(math.fsum(trees) / len(trees), 6)


def _constructed(parts: Parts) -> list[str]:
    return [row for row in CONSTRUCTED if ("synthesize", row) in parts]


def _row(row: str, study: StudySpec, parts: Parts, figures: Mapping[str, Figures]) -> dict[str, Any]:
    seeds = [seed for seed, _ in parts["evaluate", row]]
    found = [figures[job] for _, job in parts["evaluate", row]]
    trained = [figures[job] for _, job in parts["train", row]]
    images = found[0]["images"]
    norm = main_norm(study.evaluation)
    standard = estimate([one["standard"] for one in found], images)
    robust = {
        norm: {epsilon: estimate([one["robust"][norm][epsilon] for one in found], images) for epsilon in by_epsilon}
        for norm, by_epsilon in found[0]["robust"].items()
    }

    def values(of: Any) -> dict[str, Any]:
        by_norm = {norm: {epsilon: of(value) for epsilon, value in held.items()} for norm, held in robust.items()}
        return {"standard": of(standard), "robust": by_norm.get(norm, {}), "robust_by_norm": by_norm}

    return {
        "name": row,
        "what": row_sentence(row, study),
        "n_images": images,
        "n_seeds": len(seeds),
        **values(lambda value: percent(value.mean)),
        "interval": {"kind": standard.kind, "meaning": INTERVALS[standard.kind]} | values(_interval),
        "spread": values(lambda value: percent(value.spread)) if len(seeds) > 1 else None,
        "shifted": percent(mean_over([one["shifted"] for one in found])),
        "noise": percent(mean_over([one["noise"] for one in found])),
        "by_attack": percent(mean_over([one["by_attack"] for one in found])),
        "by_attack_interval": {
            norm: {
                epsilon: {
                    attack: _interval(estimate([one["by_attack"][norm][epsilon][attack] for one in found], images))
                    for attack in left
                }
                for epsilon, left in held.items()
            }
            for norm, held in found[0]["by_attack"].items()
        },
        "corruptions": percent(mean_over([one.get("corruptions", {}) for one in found])),  # older versions had none
        "reattack": _reattack(found),
        "zero_gradients": [one["zero_gradients"] for one in found],
        "per_seed": [
            {
                "seed": seed,
                "standard": percent(one["standard"]),
                "robust": percent(one["robust"].get(norm, {})),
                "robust_by_norm": percent(one["robust"]),
                "shifted": percent(one["shifted"]),
                "noise": percent(one["noise"]),
                "training": {key: value for key, value in training.items() if key != "seconds"},
            }
            for seed, one, training in zip(seeds, found, trained, strict=True)
        ],
    }


def _reattack(found: Sequence[Figures]) -> dict[str, Any] | None:
    """What fast and exact attacks left of the same images, by norm and epsilon, means over seeds; see `core.reattack`.

    None where attacks searched in fp32 anyway.
    """
    if any(one.get("reattack") is None for one in found):
        return None

    def mean(of: Sequence[Figures]) -> dict[str, Any]:
        rates = percent(mean_over([{key: one[key] for key in ("fast", "exact", "weaker_by")} for one in of]))
        return {"n_images": of[0]["images"], **rates}

    return {
        norm: {epsilon: mean([one["reattack"][norm][epsilon] for one in found]) for epsilon in held}
        for norm, held in found[0]["reattack"].items()
    }


def _interval(value: Estimate) -> list[float]:
    return [percent(value.low), percent(value.high)]


def _construction(row: str, parts: Parts, figures: Mapping[str, Figures]) -> dict[str, Any]:
    seeds = [seed for seed, _ in parts["synthesize", row]]
    found = [figures[job] for _, job in parts["synthesize", row]]

    def summary(of: Sequence[Figures]) -> dict[str, Any]:
        rates = {key: percent(mean_over([one[key] for one in of])) for key in _PERCENT if key in of[0]}
        return rates | {key: mean_over([one[key] for one in of]) for key in _MEASURES if key in of[0]}

    return {
        "name": row,
        "source": "D_adv" if row == "D_R" else "D",
        "method": found[0]["method"],
        "n_images": found[0]["images"],
        "n_seeds": len(seeds),
        **summary(found),
        "per_seed": [{"seed": seed, **summary([one])} for seed, one in zip(seeds, found, strict=True)],
        "histograms": {key: found[0][key] for key in _HISTOGRAMS if key in found[0]},
        "histograms_of_seed": seeds[0],
    }


def _reading(model: str, row: str, parts: Parts, figures: Mapping[str, Figures]) -> dict[str, Any]:
    """How often `model` reads the stored label off the images of a constructed dataset."""
    constructed = dict(parts["synthesize", row])
    found = [
        next(reading for reading in figures[job]["readings"] if reading["dataset"] == constructed[seed])
        for seed, job in parts["evaluate", model]
    ]
    keys = ("stored", "stored_where_changed")
    return {
        "model": model,
        "dataset": row,
        "n_images": found[0]["images"],
        **{key: percent(mean_over([one[key] for one in found])) for key in keys},
        "n_images_where_changed": [one["images_where_changed"] for one in found],
        "per_seed": [
            {"seed": seed, **{key: percent(one[key]) for key in keys}}
            for (seed, _), one in zip(parts["evaluate", model], found, strict=True)
        ],
    }


def _options(ref: AttackRef) -> dict[str, Any]:
    """An attack's options, those left at their defaults included."""
    return parse_options(ATTACKS.get(ref.name).options, dict(ref.options)).model_dump(mode="json")
