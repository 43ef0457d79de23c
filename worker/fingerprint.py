"""What the bits of a result may depend on beside its spec: versions, processor, device, threads.

The sizes of batches are in the spec, or fixed in the code. A checkpoint carries the fingerprint of who saved it: an
attempt that goes on from it in another environment says so, and so does the job's result.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sieve import __version__


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
