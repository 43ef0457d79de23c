"""Tensors in a file: safetensors with one JSON header. What datasets, models and checkpoints are kept in.

Equal content gives equal bytes. The safetensors library writes several metadata keys in random order, so there is one
key, and it holds sorted JSON.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from core.errors import DamagedFile

HEADER = "feature_sieve"


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors, from whatever device they are on, and a JSON header. An old file at `path` is replaced whole.

    A writer that is killed leaves the old file as it was.

    Raises:
        OSError: it could not be written: the disk is full.
    """
    owned = _apart(tensors)
    part = path.with_name(path.name + ".part")
    try:
        save_file(owned, part, metadata={HEADER: json.dumps(header, sort_keys=True)})
    except SafetensorError as error:
        part.unlink(missing_ok=True)
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(path)) from None
    part.replace(path)


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """On the CPU, contiguous, and no two in the same memory, which the format cannot express. Copied only where that
    has to be: a dataset may lie in a mapped file, larger than memory, and is written from there."""
    owned: dict[str, torch.Tensor] = {}
    taken: list[tuple[int, int]] = []
    """Addresses of the first byte, and behind the last, of those so far."""
    for name, tensor in tensors.items():
        held = tensor.detach().cpu().contiguous()
        start, stop = held.data_ptr(), held.data_ptr() + held.nbytes
        if any(start < other_stop and other_start < stop for other_start, other_stop in taken):
            held = held.clone()
        taken.append((start, stop))
        owned[name] = held
    return owned


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a file, on the CPU, and its header.

    Raises:
        DamagedFile: it was cut short, or is no file of `write_tensors`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedFile(f"{path.name} cannot be read: it is cut short or of another format ({error})") from None
