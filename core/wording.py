"""What a report says in sentences. Each holds whichever way the numbers turned out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sieve.specs import StudySpec

INTERVALS = {
    "wilson": "95 % Wilson intervals of one proportion; with one seed they say nothing about other seeds",
    "student_t": "95 % Student t intervals of the mean over seeds, always on these test images",
}

JUDGED = (
    "An image counts as robust at an epsilon only where the plain fp32 model still reads its label after every attack "
    "and every restart. Epsilons and noise are in pixel values in [0, 1]."
)


def row_sentence(row: str, study: StudySpec) -> str:
    """What a row of the table is, in one plain sentence."""
    adversary, random, fixed = study.adversary, study.random_target, study.deterministic_target
    began = "noise" if study.robust.start == "noise" else "other images"
    trained = "Trained" if study.adversarial_training.objective.name == "cross_entropy" else "Trained by TRADES"
    by = "" if study.sources == 1 else f" by D and {study.sources - 1} models like it in turn"
    return {
        "D": "Trained plainly on the dataset itself.",
        "D_adv": (
            f"{trained} on the dataset itself, each image attacked first "
            f"({adversary.norm}, epsilon {adversary.epsilon:g}, {adversary.steps} steps)."
        ),
        "D_R": f"Trained plainly on {began}, remade until D_adv sees in each the features of the image it replaces.",
        "D_NR": f"Trained plainly on {began}, remade in the same way with the features that D sees.",
        "D_rand": (
            f"Trained plainly on images pushed{by} at most {random.epsilon:g} ({random.norm}) towards a random class "
            "and labelled as that class: to a person, mislabelled."
        ),
        "D_det": (
            f"Trained plainly on images pushed{by} at most {fixed.epsilon:g} ({fixed.norm}) towards the class after "
            "their own and labelled as that class."
        ),
        "D_rand_permuted": "Control: D_rand's images, its labels shuffled among them: nothing is left to learn.",
    }[row]


def said_once(cautions: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Each sentence of a study's cautions once, with the jobs that it is said of.

    In the main study that is `D_R, seed 0 (evaluate)`, in others the job's name in the graph, `0/evaluate/source`.
    """
    whose: dict[str, list[str]] = {}
    for caution in cautions:
        of = caution.get("node") or f"{caution['row']}, seed {caution['seed']} ({caution['role']})"
        whose.setdefault(caution["said"], []).append(of)
    return [(said, "; ".join(of)) for said, of in whose.items()]


def findings(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The study's few most telling figures: (row, sentence).

    Args:
        numbers: see `core.results.report_numbers`; rows that are missing say nothing.
    """
    rows = {row["name"]: row for row in numbers["rows"]}
    epsilon = telling_epsilon(list(numbers["rows"][0]["robust"]))
    found: list[tuple[str, str]] = []
    if epsilon is not None and {"D", "D_R", "D_NR"} <= rows.keys():
        attacked = f"under {numbers['norm']} attacks of epsilon {epsilon}"
        found.append(
            (
                "D_R",
                f"Plain training on D_R leaves {_percent(rows['D_R']['robust'][epsilon])} of the test images right "
                f"{attacked}; plain training on D leaves {_percent(rows['D']['robust'][epsilon])}.",
            )
        )
        found.append(
            (
                "D_NR",
                f"Plain training on D_NR reads {_percent(rows['D_NR']['standard'])} of the clean test images, and "
                f"{_percent(rows['D_NR']['robust'][epsilon])} {attacked}.",
            )
        )
    if {"D_rand", "D_rand_permuted"} <= rows.keys():
        found.append(
            (
                "D_rand",
                f"Trained on labels that look random to a person, a model reads {_percent(rows['D_rand']['standard'])} "
                f"of the clean test images. With the same labels shuffled it reads "
                f"{_percent(rows['D_rand_permuted']['standard'])}; chance is {_percent(numbers['chance'])}.",
            )
        )
    if "D_det" in rows:
        found.append(
            (
                "D_det",
                f"Trained on labels that are always one class too far, a model reads "
                f"{_percent(rows['D_det']['standard'])} of the clean test images right, and one class too far "
                f"{_percent(rows['D_det']['shifted'])}.",
            )
        )
    return found


def telling_epsilon(epsilons: list[str]) -> str | None:
    """The radius to speak of: 0.5 where it was judged, else the middle one; None where there is none."""
    if not epsilons:
        return None
    return "0.5" if "0.5" in epsilons else epsilons[len(epsilons) // 2]


def _percent(value: float) -> str:
    return f"{value:.1f} %"
