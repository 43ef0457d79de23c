"""Checkpoints as files that check themselves: a damaged one is found out, never resumed from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from core.context import Checkpoint
from core.errors import DamagedCheckpoint, DamagedFile
from core.tensorfile import read_tensors, write_tensors


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint as safetensors, with a digest of all that it holds. Replaces an old one at once or not."""
    header = {
        "format": "checkpoint",
        "version": 1,
        "step": checkpoint.step,
        "values": dict(checkpoint.values),
        "environment": dict(checkpoint.environment),
        "continues": checkpoint.continues,
        "digest": _digest(checkpoint),
    }
    write_tensors(path, checkpoint.tensors, header)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a file of `save_checkpoint`; tensors are on the CPU, tuples among the values have become lists.

    Raises:
        DamagedCheckpoint: it was cut short or altered, or is not a checkpoint.
    """
    try:
        tensors, header = read_tensors(path)
    except DamagedFile as error:
        raise DamagedCheckpoint(str(error)) from None
    if header.get("format") != "checkpoint":
        raise DamagedCheckpoint(f"{path.name} is not a checkpoint")
    checkpoint = Checkpoint(
        header["step"], tensors, header["values"], header.get("environment", {}), header.get("continues")
    )
    if _digest(checkpoint) != header["digest"]:
        raise DamagedCheckpoint(f"{path.name} does not hold what was written to it")
    return checkpoint


def _digest(checkpoint: Checkpoint) -> str:
    """BLAKE2b over step, values, environment (older files have none) and every tensor's name, type, shape and bytes.

    64 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=32)
    said = [checkpoint.step, dict(checkpoint.values)]
    if checkpoint.environment:
        said.append(dict(checkpoint.environment))
    if checkpoint.continues is not None:
        said.append(checkpoint.continues)
    digest.update(json.dumps(said, sort_keys=True).encode())
    for name in sorted(checkpoint.tensors):
        tensor = checkpoint.tensors[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
