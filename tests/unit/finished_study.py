"""What the jobs of a finished study leave for its report, in the shape that they leave it; every figure is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from core.context import Inputs, StoredDataset
from core.images import Images, open_dataset, save_dataset
from core.references import renamed
from core.seeding import generator
from core.studies import CONSTRUCTED, main_study
from sieve.specs import ReportSpec, StudySpec

ACCURACIES = {  # clean, and at three rising epsilons
    "D": (0.986, 0.819, 0.175, 0.0),
    "D_adv": (0.972, 0.914, 0.792, 0.381),
    "D_R": (0.975, 0.85, 0.408, 0.0),
    "D_NR": (0.975, 0.694, 0.083, 0.0),
    "D_rand": (0.644, 0.022, 0.0, 0.0),
    "D_det": (0.225, 0.003, 0.0, 0.0),
    "D_rand_permuted": (0.103, 0.0, 0.0, 0.0),
}


def finished_study(
    folder: Path, *, jobs: str = "job_", seconds: float = 1.0, **study_fields: Any
) -> tuple[ReportSpec, Inputs]:
    """A report's spec and inputs for a study of digits. Job names begin with `jobs`, each job took `seconds`."""

    def named(name: str) -> str:
        return name.replace("@", jobs).replace("/", "-")

    fields = {"preset": "digits", "dataset": {"name": "digits", "limit_train": 300}, "seeds": [0]} | study_fields
    study = StudySpec.model_validate(fields)
    spec = renamed(main_study(study)[-1].spec, named)
    assert isinstance(spec, ReportSpec)
    folder.mkdir(parents=True, exist_ok=True)
    figures, datasets = {}, {}
    for part in spec.parts:
        job = part.job.name
        if part.role == "train":
            figures[job] = trained(part.seed)
        elif part.role == "evaluate":
            sources = [row for row in CONSTRUCTED if part.row in ("D", "D_adv")]
            readings = [named(f"@{part.seed}/synthesize/{row}") for row in sources]
            figures[job] = evaluated(study, part.row, part.seed, readings)
        else:
            images = constructed(study, part.row, part.seed, folder)
            path = folder / f"{job}.safetensors"
            save_dataset(path, images, tuple("0123456789"))
            datasets[job] = StoredDataset(path)
            figures[job] = synthesized(part.row, images)
        figures[job]["seconds"] = seconds
    return spec, Inputs(datasets=datasets, figures=figures)


def trained(seed: int) -> dict[str, Any]:
    validation = {"standard": 0.98, "robust": None}
    return {
        "epochs": 40,
        "chosen_epoch": 31 + seed,
        "validation": validation,
        "train_images": 1293,
        "validation_images": 144,
        "loss": 0.01,
        "parameters": 6000,
        "cautions": [],
    }


def evaluated(study: StudySpec, row: str, seed: int, readings: list[str]) -> dict[str, Any]:
    standard, *left = (max(0.0, accuracy - 0.01 * seed) for accuracy in ACCURACIES[row])
    robust = {
        threat.norm: {f"{epsilon:g}": accuracy for epsilon, accuracy in zip(threat.epsilons, left, strict=True)}
        for threat in study.evaluation.threats
    }
    return {
        "images": 360,
        "standard": standard,
        "robust": robust,
        "by_attack": {
            norm: {epsilon: {"pgd cross_entropy": f, "pgd margin": f + 0.01} for epsilon, f in held.items()}
            for norm, held in robust.items()
        },
        "reattack": reattacked(robust) if study.precision == "fast" else None,
        "cautions": [],
        "corruptions": {"blur": {"1": standard, "3": 0.5 * standard}, "fog": {"1": standard, "3": standard}},
        "noise": {"0.05": standard, "0.1": 0.9 * standard},
        "shifted": 0.506 if row == "D_det" else 0.05,
        "zero_gradients": 0,
        "readings": [
            {
                "dataset": name,
                "images": 1437,
                "stored": 0.976,
                "stored_where_changed": 0.04 if name.endswith(("D_rand", "D_det")) else None,
                "images_where_changed": 1290 if name.endswith(("D_rand", "D_det")) else 0,
            }
            for name in readings
        ],
    }


def reattacked(robust: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The fast attack is weaker by 0.2 points."""
    rest = {"images": 360, "weaker_by": 0.002, "standard_error": 0.001}
    return {
        norm: {epsilon: {"fast": left, "exact": left - 0.002, **rest} for epsilon, left in held.items()}
        for norm, held in robust.items()
    }


def constructed(study: StudySpec, row: str, seed: int, folder: Path) -> Images:
    """In shuffled order: a report must go by `source_index`."""
    source = open_dataset(study.dataset, Inputs(), folder).train
    n = len(source)
    draw = generator(seed, row)
    index = torch.arange(n)
    shuffle = torch.randperm(n, generator=generator(seed, "order"))
    columns = {"source_index": index, "original_label": source.labels}
    if row in ("D_R", "D_NR"):
        start = torch.randperm(n, generator=generator(seed, "start"))
        pixels = (0.7 * source.batch(start) + 0.3 * source.batch(index)).clamp(0, 1)
        columns |= {
            "start_index": start,
            "norm": torch.rand(n, generator=draw) + 1,
            "feature_distance": torch.rand(n, generator=draw) / 10,
            "nearer_to_start": torch.ones(n, dtype=torch.int64),
        }
        return Images(pixels, source.labels, columns).select(shuffle)
    target = (source.labels + 1) % 10 if row == "D_det" else torch.randint(10, (n,), generator=draw)
    moved = torch.randn(source.batch(index).shape, generator=draw)
    pixels = (source.batch(index) + moved / moved.flatten(1).norm(dim=1)[:, None, None, None]).clamp(0, 1)
    columns |= {"target": target, "success": torch.ones(n, dtype=torch.int64), "norm": torch.ones(n)}
    return Images(pixels, target, columns).select(shuffle)


def synthesized(row: str, images: Images) -> dict[str, Any]:
    columns = images.columns
    figures: dict[str, Any] = {"images": len(images), "classes": 10, "source_reads_label": 0.976, "cautions": []}
    figures |= {"norm": distribution(columns["norm"]), "norm_histogram": histogram(columns["norm"])}
    if "feature_distance" in columns:
        distance = columns["feature_distance"]
        return figures | {
            "method": "robust",
            "feature_distance": distribution(distance),
            "feature_distance_histogram": histogram(distance),
            "nearer_to_start": 0.96,
        }
    method = "deterministic_target" if row == "D_det" else "random_target"
    return figures | {"method": method, "success": 0.98, "success_where_changed": 0.978, "at_surface": 0.999}


def distribution(values: torch.Tensor) -> dict[str, float]:
    levels = {f"p{level}": float(values.quantile(level / 100)) for level in (5, 50, 95)}
    return {"mean": float(values.mean()), **levels}


def histogram(values: torch.Tensor) -> dict[str, list[float]]:
    edges = torch.linspace(0, float(values.max()) + 1e-6, 31)
    return {"edges": edges.tolist(), "counts": values.histc(30, 0, float(edges[-1])).tolist()}
