"""Look an uploaded file of weights through, in a process of its own: `python -m formats.weights TASK`.

The process has no torch, no secrets and little memory. It holds a safetensors file against what the network must have:
names, shapes, types, finite values; and writes those tensors as float32, under the network's own names. TASK is JSON,
see `Task`. It says on stdout, in one line of JSON, `{"unpacked": {...}}` or `{"refused": "why"}`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from formats.arrivals import Refused, shown
from formats.images import HEADER

TYPES = ("F32", "F16", "BF16")
"""Of weights, as safetensors calls them; all become float32 exactly."""

MEAN, STD = "normalise.mean", "normalise.std"
_COUNTER = "num_batches_tracked"
"""Of a batch normalisation: an integer that nothing reads; may be missing."""
_WRAPPERS = ("module.", "model.", "_orig_mod.", "net.", "network.", "backbone.", "encoder.")
_NORMALISERS = {
    "normalizer.new_mean": MEAN,
    "normalizer.new_std": STD,
    "normalize.mean": MEAN,
    "normalize.std": STD,
    "normalizer.mean": MEAN,
    "normalizer.std": STD,
}
"""Names that others give to what an image is normalised with."""
_SLACK = 16 << 20
"""Bytes that a file may have beyond twice its weights."""


@dataclass(frozen=True)
class Task:
    """What to look through, and against what."""

    path: str
    target: str
    """Where to write the tensors."""
    tensors: dict[str, list[int]] | None = None
    """Shapes by name of all that the network has; None: say only what the file tells of itself."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Other names of the network's tensors."""
    memory: int = 1 << 30
    """Bytes that the process may fill."""


def header(path: Path) -> dict[str, Any]:
    """What a file tells of itself: `format`, `architecture`, … where this service wrote it; `mean` and `std` (lists)
    where its metadata has them.

    Raises:
        Refused: it is no whole safetensors file.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
    except (SafetensorError, ValueError, OSError) as error:
        raise Refused(f"it is no whole safetensors file: {shown(str(error))}") from None
    told = _json(metadata.get(HEADER))
    found = told if isinstance(told, dict) and told.get("format") == "model" else {}
    statistics = {name: _json(metadata.get(name)) for name in ("mean", "std")}
    for name, values in statistics.items():
        numbers = isinstance(values, list) and values and all(type(value) in (int, float) for value in values)
        if numbers:
            found = {**found, name: values}
    return found


def weights(task: Task) -> dict[str, Any]:
    """Hold the file against the network, and write what it has of it.

    Raises:
        Refused: naming the tensor.
    """
    assert task.tensors is not None
    path, wanted = Path(task.path), task.tensors
    needed = 4 * sum(math.prod(shape) for shape in wanted.values())
    if path.stat().st_size > 2 * needed + _SLACK:
        raise Refused(f"it has {path.stat().st_size:,} bytes; such a network has {needed:,}")
    kept: dict[str, npt.NDArray[Any]] = {}
    try:
        with safe_open(path, framework="np") as file:
            present = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            names = {_own_name(name, wanted, task.aliases): name for name in present}
            _compare(names, {own: present[name].get_shape() for own, name in names.items()}, wanted)
            types = {name: str(present[name].get_dtype()) for name in present}
    except (SafetensorError, ValueError, OSError) as error:
        raise Refused(f"it is no whole safetensors file: {shown(str(error))}") from None
    offsets = _offsets(path)
    for own, name in sorted(names.items()):
        if own.endswith(_COUNTER):
            continue
        values = _read(path, offsets[name], types[name], name).reshape(wanted[own])
        if not np.isfinite(values).all():
            count = int((~np.isfinite(values)).sum())
            raise Refused(f"the tensor {shown(name)} has {count:,} values that are not finite")
        kept[own] = values
    for own, values in kept.items():
        if (own == STD or own.endswith("running_var")) and (values < 0 if own != STD else values <= 0).any():
            least = "above 0" if own == STD else "at least 0"
            raise Refused(f"the tensor {shown(names[own])} must be {least}, and is not")
    save_file(kept, task.target)
    said = {name: count for name in TYPES if (count := sum(types[names[own]] == name for own in kept))}
    return {"tensors": len(kept), "types": said, "normalises": MEAN in kept and STD in kept}


def _own_name(name: str, wanted: Mapping[str, Any], aliases: Mapping[str, str]) -> str:
    """What the network calls a tensor; the file's own name where it has no such."""
    bare = name
    while bare not in wanted:
        own = aliases.get(bare) or _NORMALISERS.get(bare)
        if own is not None:
            return own
        wrapper = next((wrapper for wrapper in _WRAPPERS if bare.startswith(wrapper)), None)
        if wrapper is None:
            return name
        bare = bare[len(wrapper) :]
    return bare


def _compare(names: Mapping[str, str], shapes: Mapping[str, list[int]], wanted: Mapping[str, list[int]]) -> None:
    """Every tensor that the network has, of its shape, and no other."""
    for own, name in names.items():
        if own not in wanted:
            close = f"; it has {', '.join(sorted(wanted)[:3])}, …" if not set(names) & set(wanted) else ""
            raise Refused(f"the network has no tensor {shown(name)}{close}")
        given, asked = list(shapes[own]), list(wanted[own])
        if own in (MEAN, STD):
            if math.prod(given) != math.prod(asked):
                raise Refused(f"the tensor {shown(name)} has shape {given}; {math.prod(asked)} values are needed")
        elif given != asked:
            raise Refused(f"the tensor {shown(name)} has shape {given}; the network's has {asked}")
    optional = (MEAN, STD)
    missing = [own for own in wanted if own not in names and own not in optional and not own.endswith(_COUNTER)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Refused(f"it has no tensor {missing[0]}{more}")


def _offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor's bytes lie, from the header that the library has found in order. Its own reading into NumPy
    knows no bfloat16."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        told = json.loads(file.read(length))
    begin = 8 + length
    return {
        name: (begin + one["data_offsets"][0], begin + one["data_offsets"][1])
        for name, one in told.items()
        if name != "__metadata__"
    }


def _read(path: Path, place: tuple[int, int], kind: str, name: str) -> npt.NDArray[np.float32]:
    """A tensor's values, flat."""
    if kind not in TYPES:
        raise Refused(f"the tensor {shown(name)} is {shown(kind)}; weights are {', '.join(TYPES)}")
    with path.open("rb") as file:
        file.seek(place[0])
        content = file.read(place[1] - place[0])
    if kind == "BF16":
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(content, "<f4" if kind == "F32" else "<f2").astype(np.float32)


def _json(text: str | None) -> Any:
    """JSON values, or numbers with commas or spaces between; None of anything else."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        parts = re.split(r"[,\s]+", text.strip(" ()[]"))
    try:
        return [float(part) for part in parts]
    except ValueError:
        return None


def main() -> None:
    """Read the task, bound this process, look the file through."""
    task = Task(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory, task.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = header(Path(task.path)) if task.tensors is None else weights(task)
        print(json.dumps({"unpacked": found}), flush=True)
    except Refused as refused:
        print(json.dumps({"refused": str(refused)}), flush=True)
    except (MemoryError, RecursionError):
        print(json.dumps({"refused": "it takes more memory to read than such a network has"}), flush=True)


def command(task: Task) -> list[str]:
    """Of the process that does it."""
    return [sys.executable, "-m", "formats.weights", json.dumps(dataclasses.asdict(task))]


if __name__ == "__main__":
    main()
