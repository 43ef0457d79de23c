"""Training without labels: views, the loss, and going on after a stop."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from core.context import Inputs, MemoryContext
from core.errors import Stopped
from core.images import Splits
from core.models import load_model
from core.pretraining import contrastive, view
from core.run import execute
from core.seeding import generator
from sieve.specs import ArchitectureRef, DatasetRef, ModelRef, PenultimateFeatures, PretrainSpec, ProbeSpec

SPEC = PretrainSpec(
    dataset=DatasetRef(name="digits"),
    architecture=ArchitectureRef(name="convnet", options={"widths": (8, 16, 32), "strides": (1, 2, 1)}),
    epochs=8,
)


def test_the_loss_finds_the_other_view() -> None:
    z = torch.nn.functional.normalize(torch.randn(8, 16, generator=generator(0, "z")), dim=1)
    alike, others = torch.cat([z, z]), torch.cat([z, z.roll(1, 0)])
    assert contrastive(alike, 0.1) < 0.5 < contrastive(others, 0.1)
    everywhere = torch.ones(16, 4) / 2
    assert float(contrastive(everywhere, 0.1)) == pytest.approx(math.log(15), abs=1e-5)


def test_views_are_images_and_without_changes_the_image_itself(digits: Splits) -> None:
    x = digits.train.batch(slice(64))
    seen = view(x, SPEC, generator(0, "views"))
    assert seen.shape == x.shape
    assert ((seen >= 0) & (seen <= 1)).all()
    assert not torch.allclose(seen, view(x, SPEC, generator(1, "views")))
    still = SPEC.model_copy(update={"turn": 0.0, "shift": 0.0, "zoom": 0.0, "tone": 0.0})
    assert torch.allclose(view(x, still, generator(0, "views")), x, atol=1e-5)


def test_an_encoder_learns_without_labels_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = execute(SPEC, Inputs(), MemoryContext(tmp_path / "whole"))
    assert whole.figures["loss"] < whole.figures["chance_loss"] - 0.5
    stopped = MemoryContext(tmp_path / "stopped", stop_after=3)
    with pytest.raises(Stopped):
        execute(SPEC, Inputs(), stopped)
    resumed = execute(SPEC, Inputs(), MemoryContext(tmp_path / "resumed", chain=stopped.checkpoints))
    states = [load_model(result.outputs[0].path).state_dict() for result in (whole, resumed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    probe = ProbeSpec(dataset=SPEC.dataset, features=PenultimateFeatures(model=ModelRef(name="@m")))
    inputs = Inputs(models={"@m": whole.outputs[0].path})
    assert execute(probe, inputs, MemoryContext(tmp_path / "probe")).figures["standard"] > 0.7
