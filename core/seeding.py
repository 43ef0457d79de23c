"""Randomness as a function: every draw comes from a generator seeded by what it is for, never from a global state.

So a resumed job, or a synthesis split in shards, draws the same numbers as an undisturbed run.
"""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, purpose: str, *indices: int) -> int:
    """A 63-bit seed that depends on all of its arguments and on nothing else.

    `seed` is the job's own, `purpose` names the draw ("weights", "order", …), `indices` place it (epoch, sample,
    restart, …). The arguments are written down without ambiguity and hashed with BLAKE2b, so neighbouring seeds have
    nothing in common.
    """
    written = repr((seed, purpose, *indices)).encode()
    return int.from_bytes(hashlib.blake2b(written, digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *indices: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator on `device`, seeded by `derived_seed`.

    The same arguments give the same draws on one device; a CPU and a GPU draw differently. Torch's CPU generator uses
    the lower 32 bits of its seed.
    """
    fresh = torch.Generator(device=device)
    fresh.manual_seed(derived_seed(seed, purpose, *indices))
    return fresh
