"""What the file of tensors copies, and what it does not."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from core.tensorfile import read_tensors, write_tensors


def test_names_that_share_memory_and_turned_tensors_are_written_as_they_look(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {"whole": base, "same": base, "part": base[1:3], "turned": base.T, "none": base[:0], "nil": base[:0]}
    write_tensors(tmp_path / "x", tensors, {"a": 1})
    found, header = read_tensors(tmp_path / "x")
    assert header == {"a": 1}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert torch.equal(base, torch.arange(24.0).reshape(4, 6))


@contextmanager
def little_memory() -> Iterator[None]:
    """16 MiB more than what this process has taken; mapped files do not count."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    lines = Path("/proc/self/status").read_text().splitlines()
    taken = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (taken + (16 << 20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def test_what_lies_in_a_mapped_file_is_written_from_there(tmp_path: Path) -> None:
    mapped = torch.from_file(str(tmp_path / "pixels"), shared=True, size=16 << 20, dtype=torch.float32)
    mapped[:: 1 << 10] = 1
    halves = {"images": mapped[: 8 << 20].view(-1, 1 << 10), "test_images": mapped[8 << 20 :]}
    with little_memory():
        with pytest.raises(RuntimeError, match="memory"):
            mapped.clone()
        write_tensors(tmp_path / "x", halves, {})
    found, _ = read_tensors(tmp_path / "x")
    assert all(torch.equal(found[name], half) for name, half in halves.items())
