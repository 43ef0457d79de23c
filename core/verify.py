"""Recompute what an evaluation says from what it kept. Needs torch and safetensors, nothing else.

    python verify.py examples.safetensors
    python verify.py examples.safetensors --model model.safetensors

Each accuracy is counted again from the logits that were kept with the images. Of each attacked image that is misread,
its distance from the original is measured in float64: it must be at most epsilon (1 + 1e-6) of every epsilon that it
counts at, and its values in [0, 1]. With --model the logits of clean and attacked images are computed again as well;
that wants the package `core` of the service, which knows the networks.

Ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

TOLERANCE = 1e-6
ORDERS = {"l1": 1.0, "l2": 2.0, "linf": math.inf}


class Check:
    """Says each comparison in a line, and remembers whether all held."""

    def __init__(self) -> None:
        self.held = True

    def accuracy(self, what: str, claimed: float, right: Tensor) -> None:
        """`right`: one flag an image."""
        found = right.double().mean().item()
        self.that(f"{what}: {100 * claimed:.2f} % claimed, {100 * found:.2f} % found", abs(found - claimed) < 1e-9)

    def that(self, what: str, held: bool) -> None:
        """One fact."""
        self.held &= held
        print(("ok    " if held else "WRONG ") + what)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of the file and the figures that it claims."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["feature_sieve"])
        return {name: file.get_tensor(name) for name in file.keys()}, header["claimed"]  # noqa: SIM118


def check(kept: dict[str, Tensor], claimed: dict[str, Any], to: Check) -> None:
    """Every accuracy, distance and range."""
    images, labels = as_pixels(kept["images"]), kept["labels"]
    clean = kept["logits/clean"].argmax(1)
    classes = kept["logits/clean"].shape[1]
    to.accuracy("clean", claimed["standard"], clean == labels)
    to.accuracy("on (x, y + 1)", claimed["shifted"], clean == (labels + 1) % classes)
    for sigma, accuracy in claimed["noise"].items():
        to.accuracy(f"Gaussian noise of {sigma}", accuracy, kept[f"logits/noise/{sigma}"].argmax(1) == labels)
    for name, by_severity in claimed.get("corruptions", {}).items():
        for severity, accuracy in by_severity.items():
            read_as = kept[f"logits/corruptions/{name}/{severity}"].argmax(1)
            to.accuracy(f"{name.replace('_', ' ')}, severity {severity}", accuracy, read_as == labels)
    for norm, by_epsilon in claimed["robust"].items():
        attacked, read_as = as_pixels(kept[f"x_adv/{norm}"]), kept[f"logits/{norm}"].argmax(1)
        far = distance(attacked, images, norm)
        to.that(f"{norm}: attacked images lie in [0, 1]", bool(((attacked >= 0) & (attacked <= 1)).all()))
        to.that(f"{norm}: distances are those kept", torch.allclose(far, kept[f"norm/{norm}"], rtol=1e-9, atol=1e-12))
        largest = max(map(float, by_epsilon))
        to.that(f"{norm}: no image lies outside of {largest:g}", bool((far <= largest * (1 + TOLERANCE)).all()))
        for epsilon, accuracy in by_epsilon.items():
            broken = (read_as != labels) & (far <= float(epsilon) * (1 + TOLERANCE))
            to.accuracy(f"{norm} {epsilon}", accuracy, (clean == labels) & ~broken)


def check_model(kept: dict[str, Tensor], path: Path, to: Check) -> None:
    """The logits of clean and attacked images, from the model itself."""
    from core.models import load_model  # noqa: PLC0415 - only here anything but torch and safetensors is needed

    model = load_model(path)
    shown = {"logits/clean": kept["images"]}
    shown |= {f"logits/{name.removeprefix('x_adv/')}": held for name, held in kept.items() if name.startswith("x_adv/")}
    for name, images in shown.items():
        with torch.no_grad():
            found = torch.cat([model(as_pixels(some).float()) for some in torch.split(images, 256)])
        same = (found.argmax(1) == kept[name].argmax(1)).double().mean().item()
        to.that(f"{name}: the model reads {100 * same:.2f} % of the images as it was kept", same > 0.999)


def distance(attacked: Tensor, images: Tensor, norm: str) -> Tensor:
    """Float64 [n]."""
    found: Tensor = torch.linalg.vector_norm((attacked - images).flatten(1), ord=ORDERS[norm], dim=1)
    return found


def as_pixels(images: Tensor) -> Tensor:
    """Float64 values of fp32 pixels in [0, 1]; bytes are 255ths."""
    return images.float().div(255).double() if images.dtype == torch.uint8 else images.double()


def main() -> None:
    """Read, check, say."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("file", type=Path, help="examples.safetensors of an evaluation")
    parser.add_argument("--model", type=Path, help="the model's file: compute the logits again")
    asked = parser.parse_args()
    to = Check()
    kept, claimed = read(asked.file)
    check(kept, claimed, to)
    if asked.model is not None:
        check_model(kept, asked.model, to)
    print("all held" if to.held else "NOT all held")
    sys.exit(not to.held)


if __name__ == "__main__":
    main()
