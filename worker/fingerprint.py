"""What the bits of a result may depend on beside its spec: versions, processor, device, threads.

The sizes of batches are in the spec, or fixed in the code. A checkpoint carries the fingerprint of who saved it: an
attempt that goes on from it in another environment says so, and so does the job's result.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sieve import __version__

_ROOT = Path(__file__).parents[1]
_CODE = ("sieve/specs", "core", "formats", "worker")
"""What of the service's own code a result's bits may depend on."""
_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "pyarrow", "webdataset")


def fingerprint(device: torch.device, threads: int) -> dict[str, Any]:
    """This process's own, as JSON values."""
    on_gpu = device.type == "cuda" and torch.cuda.is_available()  # a broken card is for the job to find
    return {
        "feature_sieve": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "cuda": torch.version.cuda if on_gpu else None,
        "threads": threads,
    }


@cache
def software() -> dict[str, str]:
    """Versions of what a result was made with. `code` is a hash of the service's own source, whatever its version."""
    versions = {"feature_sieve": __version__, "code": _code(), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def hardware(device: torch.device, threads: int) -> dict[str, Any]:
    """What a result was made on."""
    ran = fingerprint(device, threads)
    told = {name: ran[name] for name in ("device", "machine", "instructions", "threads", "cuda") if ran[name]}
    return {**told, "processor": _processor(), "processors": os.cpu_count()}


def _code() -> str:
    """The first 16 digits of the sha256 of all Python files and templates, with their names."""
    digest = hashlib.sha256()
    paths = [path for folder in _CODE for path in (_ROOT / folder).rglob("*") if path.is_file()]
    for path in sorted(path for path in paths if "__pycache__" not in path.parts):
        digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@cache
def _processor() -> str:
    """Its name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, for people. Nothing where it is not known what was before."""
    return [f"{name} {before[name]} -> {value}" for name, value in now.items() if before.get(name, value) != value]


def differences(shares: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What a result has to say of its shares, from their figures: that they were done in different environments
    (`shares_differ`), or resumed in others (`resumed_elsewhere`). Nothing where nothing was other."""
    environments = [figures["environment"] for figures in shares]
    differ = dict.fromkeys(said for other in environments[1:] for said in changes(environments[0], other))
    resumed = [said for figures in shares for said in figures.get("resumed_elsewhere", ())]
    return {name: said for name, said in (("shares_differ", list(differ)), ("resumed_elsewhere", resumed)) if said}
