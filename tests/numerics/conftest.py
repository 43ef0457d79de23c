"""A small network that has learnt the digits: every property of attacks is tried on a trained model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.context import Inputs, MemoryContext
from core.images import Splits, open_dataset
from core.models import Classifier, load_model
from core.run import execute
from sieve.specs import ArchitectureRef, DatasetRef, TrainSpec

DIGITS = DatasetRef(name="digits")
CONVNET = ArchitectureRef(name="convnet", options={"widths": (8, 16, 32), "strides": (1, 2, 1)})


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # bits depend on it, and other tests run beside


@pytest.fixture(scope="session")
def digits() -> Splits:
    return open_dataset(DIGITS, Inputs(), Path("nowhere"))


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = TrainSpec(dataset=DIGITS, architecture=CONVNET, epochs=8)
    result = execute(spec, Inputs(), MemoryContext(tmp_path_factory.mktemp("model")))
    assert result.figures["validation"]["standard"] > 0.95
    return result.outputs[0].path


@pytest.fixture
def model(model_path: Path) -> Classifier:
    return load_model(model_path)
