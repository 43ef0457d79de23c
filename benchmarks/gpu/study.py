"""The main study, job by job: each evaluation, and whatever it needs that is not there.

Constructed datasets and the models trained on them are too large to come back from a borrowed machine: what is needed
and not there is made again. The two source models come back, in half precision; figures of whatever rests on such a
model name the call that trained it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.call import Call, say
from benchmarks.gpu.images import NAME
from core.cards import Node
from core.context import Inputs, StoredDataset
from core.references import references
from core.run import execute
from core.studies import CONSTRUCTED, ROWS, main_study
from sieve.specs import DatasetRef, EvaluateSpec, ModelRef, StudySpec

SOURCES = ("D_adv", "D")

PRESET: dict[str, Any] = {
    "preset": "cifar10",
    "dataset": {"name": NAME},
    "architecture": {"name": "resnet", "options": {"depth": 18, "width": 64}},
    "robust": {"recipe": "fast"},
    "precision": "fast",
}

_TINY_TRAINING = {"epochs": 1, "batch_size": 16, "crop_padding": 1}
_TINY_ATTACK = {"name": "pgd", "options": {"steps": 2, "restarts": 1}}
TINY: dict[str, Any] = {
    "architecture": {"name": "resnet", "options": {"blocks": [1, 1], "width": 4}},
    "training": _TINY_TRAINING,
    "random_target_training": _TINY_TRAINING,
    "deterministic_target_training": _TINY_TRAINING,
    "adversarial_training": _TINY_TRAINING | {"adversary": {"steps": 1}},
    "robust": {"recipe": "fast", "steps": 3},
    "random_target": {"steps": 2},
    "deterministic_target": {"steps": 2},
    "evaluation": {"attacks": [_TINY_ATTACK], "noise": []},
}


def study(call: Call, changes: dict[str, Any]) -> None:
    """Go on with the study where the calls before left it; `changes` go over the preset, key by key."""
    spec = StudySpec.model_validate(_over(_over(PRESET, TINY if call.tiny else {}), changes))
    kept = call.figures.setdefault("study", {"spec": spec.model_dump(mode="json"), "jobs": {}})
    call.keep("study", kept)
    jobs = _Jobs(call, spec, kept)
    for name in jobs.wanted():
        jobs.do(name)
    kept["table"] = {
        row: {key: found["figures"][key] for key in ("standard", "robust")}
        for row in ROWS
        if (found := kept["jobs"].get(f"evaluate/{row}")) is not None
    }
    kept["complete"] = all(name in kept["jobs"] for name in jobs.wanted())
    kept["seconds"] = round(sum(job["seconds"] for job in kept["jobs"].values()), 1)
    call.keep("study", kept)
    say(f"study: {len(kept['jobs'])} jobs, {kept['seconds']} s, complete: {kept['complete']}")


class _Jobs:
    """The study's jobs by name (`train/D_adv`), and the files that there are."""

    def __init__(self, call: Call, spec: StudySpec, kept: dict[str, Any]) -> None:
        self._call, self._kept = call, kept
        self._nodes = {node.name.partition("/")[2]: node.spec for node in _split(main_study(spec))}
        self._files: dict[str, Path] = {}
        for row in SOURCES:
            if (path := call.kept_model(f"model-{row}")) is not None:
                self._files[f"train/{row}"] = path

    def wanted(self) -> list[str]:
        """Jobs whose figures are the study's result, in an order in which little is needed for long."""
        order = [
            f"{kind}/{row}" for row in (*SOURCES, *ROWS[2:]) for kind in ("synthesize", "read", "train", "evaluate")
        ]
        first = [f"train/{row}" for row in SOURCES]
        return [*first, *(name for name in _with_readings(order) if name in self._nodes and name not in first)]

    def do(self, name: str) -> None:
        """Have a job's figures."""
        if name not in self._kept["jobs"]:
            self._run(name)

    def _file(self, name: str) -> Path:
        """Have a job's file: from before, or made now."""
        if name not in self._files:
            self._run(name)
        return self._files[name]

    def _run(self, name: str) -> None:
        spec = self._nodes[name]
        inputs = Inputs(
            datasets={ref.name: StoredDataset(self._file(_named(ref.name))) for ref in _made(spec, DatasetRef)},
            models={ref.name: self._file(_named(ref.name)) for ref in _made(spec, ModelRef)},
        )
        began = time.monotonic()
        result = execute(spec, inputs, self._call.context(name.replace("/", "-")))
        seconds = time.monotonic() - began
        for output in result.outputs:
            if output.role in ("model", "dataset"):
                self._files[name] = output.path
        say(f"{name}: {seconds:.1f} s, {self._call.left():.0f} s left")
        if name in self._kept["jobs"]:  # made again for the sake of its file
            return
        figures = {key: value for key, value in result.figures.items() if "histogram" not in key}
        self._kept["jobs"][name] = {"seconds": round(seconds, 2), "call": self._call.number, "figures": figures}
        kind, _, row = name.partition("/")
        if kind == "train" and row in SOURCES:
            self._call.keep_model(f"model-{row}", self._files[name])
        self._call.keep("study", self._kept)


def _split(nodes: list[Node]) -> list[Node]:
    """The jobs without the report; readings become jobs of their own, one a constructed dataset."""
    split = []
    for node in nodes:
        if node.name == "report":
            continue
        if not isinstance(node.spec, EvaluateSpec):
            split.append(node)
            continue
        split.append(Node(node.name, node.spec.model_copy(update={"readings": ()})))
        for reading in node.spec.readings:
            seed, _, row = node.name.split("/")
            only = {"readings": (reading,), "threats": (), "noise": ()}
            name = f"{seed}/read/{reading.name.rpartition('/')[2]} by {row}"
            split.append(Node(name, node.spec.model_copy(update=only)))
    return split


def _with_readings(order: list[str]) -> list[str]:
    """`read/D_R` stands for what both sources read off it."""
    names: list[str] = []
    for name in order:
        kind, _, row = name.partition("/")
        if kind != "read":
            names.append(name)
        elif row in CONSTRUCTED:
            names += [f"read/{row} by {source}" for source in SOURCES]
    return names


def _made(spec: Any, kind: type[DatasetRef] | type[ModelRef]) -> list[Any]:
    return [ref for _, ref in references(spec) if isinstance(ref, kind) and ref.name.startswith("@")]


def _named(reference: str) -> str:
    """`@0/train/D` as `train/D`."""
    return reference.partition("/")[2]


def _over(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged
