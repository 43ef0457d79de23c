"""The choice between trainings that differ in their learning rate: by held-out training images, never by the test."""

from __future__ import annotations

import shutil
from typing import Any

from core.context import Context, Inputs, Output, Result
from sieve.specs import ChooseSpec


def choose(spec: ChooseSpec, inputs: Inputs, context: Context) -> Result:
    """Keep the model that did best on its validation images; of equals the one with the smaller learning rate.

    Its score is the one that its training chose its epoch by. The figures are those of the training that is kept, its
    `seconds` those of all, and `choice`: learning rate and score of each candidate.
    """
    found = [inputs.figures[ref.name] for ref in spec.trainings]
    scores = [one["score"] for one in found]
    best = max(range(len(found)), key=lambda at: (scores[at], -found[at]["learning_rate"]))
    path = context.scratch / "model.safetensors"
    shutil.copyfile(inputs.models[spec.models[best].name], path)
    candidates: list[dict[str, Any]] = [
        {key: one[key] for key in ("learning_rate", "score", "chosen_epoch", "stuck_at_chance")} for one in found
    ]
    figures = {
        **found[best],
        "choice": candidates,
        "seconds": sum(one["seconds"] for one in found),
    }
    return Result(figures, (Output(path.name, path, "model", "application/octet-stream"),))
