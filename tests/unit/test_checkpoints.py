"""Checkpoint files: what goes in comes out, or the file says that it does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from core.checkpoints import load_checkpoint, save_checkpoint
from core.context import Checkpoint
from core.errors import DamagedCheckpoint
from core.tensorfile import read_tensors, write_tensors


def state() -> Checkpoint:
    weights = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    tensors = {
        "weights": weights,
        "best": weights,  # the same memory
        "turned": weights.transpose(0, 2),  # not contiguous
        "half": weights.bfloat16(),
        "count": torch.tensor(17),
        "none": torch.empty(0, 3),
        "draws": torch.Generator().manual_seed(1).get_state(),
    }
    values = {"best_epoch": 3, "curve": [0.5, float("inf")], "name": "épreuve"}
    return Checkpoint(12, tensors, values, {"torch": "2.13.0", "changes": ["at step 3: threads 1 -> 2"]})


def test_a_checkpoint_survives_its_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", state())
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.step == 12
    assert (loaded.values, loaded.environment) == (state().values, state().environment)
    assert loaded.tensors.keys() == state().tensors.keys()
    for name, tensor in state().tensors.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


def test_equal_checkpoints_are_equal_bytes(tmp_path: Path) -> None:
    for name in "abcd":
        save_checkpoint(tmp_path / name, state())
    assert len({(tmp_path / name).read_bytes() for name in "abcd"}) == 1


def test_every_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, state())
    whole = path.read_bytes()
    load_checkpoint(path)
    for place in [*range(0, len(whole), 211), len(whole) - 1]:
        altered = bytearray(whole)
        altered[place] ^= 0x10
        path.write_bytes(altered)
        with pytest.raises(DamagedCheckpoint):
            load_checkpoint(path)
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCheckpoint):
            load_checkpoint(path)


def test_saving_replaces_the_old_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", state())
    before = load_checkpoint(tmp_path / "c")
    save_checkpoint(tmp_path / "c", Checkpoint(13, {"weights": torch.zeros(3)}))
    assert load_checkpoint(tmp_path / "c").step == 13
    assert torch.equal(before.tensors["weights"], state().tensors["weights"]), "what was loaded does not change"


def test_a_file_of_before_environments_is_read(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", dataclasses.replace(state(), environment={}))
    tensors, header = read_tensors(tmp_path / "c")
    del header["environment"]
    write_tensors(tmp_path / "old", tensors, header)
    assert load_checkpoint(tmp_path / "old").values == state().values
