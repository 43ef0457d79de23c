"""The follow-up studies on real images, at a size for one GPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.call import Bounded, Call
from benchmarks.gpu.images import NAME
from benchmarks.study_in_process import run_study
from core.planning import parse

_TRAINING = {"epochs": 12, "batch_size": 128, "learning_rate": 0.1, "weight_decay": 5e-4, "flip": True}
_TRAINING |= {"crop_padding": 4}
_BALL = {"norm": "l2", "epsilon": 1.0, "steps": 50, "relative_step": 0.1}
_SHARED: dict[str, Any] = {
    "dataset": {"name": NAME, "limit_train": 20_000, "limit_test": 2_000},
    "architecture": {"name": "resnet", "options": {"depth": 18, "width": 32}},
    "seeds": [0],
    "precision": "fast",
    "training": _TRAINING,
    "target_training": _TRAINING | {"learning_rate": 0.02},
}
SPECS: dict[str, dict[str, Any]] = {
    "transfer": {
        "deterministic_target": _BALL,
        "target_training": _TRAINING | {"learning_rate": 0.05},
        "architectures": [
            {"name": "resnet", "options": {"depth": 18, "width": 32}},
            {"name": "convnet", "options": {"widths": [32, 64, 128], "strides": [2, 2, 1]}},
            {"name": "vgg", "options": {"stages": [1, 1, 2], "width": 32}},
            {"name": "mobilenet", "options": {"widths": [16, 32, 64], "blocks": [1, 2, 2]}},
            {"name": "mixer", "options": {"patch": 4, "width": 128, "depth": 4}},
            {"name": "mlp", "options": {"hidden": [512, 128]}},
        ],
    },
    "leakage": {
        "random_target": _BALL,
        "deterministic_target": _BALL,
        "adversarial_training": _TRAINING
        | {"adversary": {"norm": "l2", "epsilon": 0.5, "steps": 7, "relative_step": 0.2}},
        "linear": {"epsilon": 0.25, "steps": 500},
    },
    "just_bugs": {"construction": _BALL, "ensemble": 3, "held_out": 2},
}
"""By kind."""

_TINY_TRAINING = {"epochs": 1, "batch_size": 16}
_TINY: dict[str, Any] = {
    "dataset": {"name": NAME, "limit_train": 64, "limit_test": 32},
    "architecture": {"name": "resnet", "options": {"blocks": [1, 1], "width": 4}},
    "training": _TINY_TRAINING,
    "target_training": _TINY_TRAINING,
    "adversarial_training": _TINY_TRAINING | {"adversary": {"epsilon": 0.5, "steps": 2}},
}


def followup(call: Call, kind: str) -> dict[str, Any]:
    """One study; its report as Markdown and as data."""
    values = {"kind": kind} | _SHARED | SPECS[kind]
    if call.tiny:
        values |= {key: value for key, value in _TINY.items() if key in values}
    folder = call.scratch / kind

    def context(place: Path) -> Bounded:
        return Bounded(place, call.device, call.until)

    jobs: dict[str, Any] = {}

    def heard(name: str, kept: Mapping[str, Any]) -> None:
        """Should the call end first, what is done is not lost."""
        jobs[name] = kept
        call.keep(f"{kind} so far", jobs)

    _, seconds = run_study(parse(values), folder, context=context, heard=heard)
    del call.figures[f"{kind} so far"]
    return {
        "spec": values,
        "seconds": round(sum(seconds.values()), 1),
        "jobs": len(seconds),
        "report": (folder / "report" / "report.md").read_text(),
        "findings": json.loads((folder / "report" / "report.json").read_text()),
    }
