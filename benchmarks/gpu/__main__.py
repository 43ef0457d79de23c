"""The GPU figures and the CIFAR-10 study, in calls of bounded length, each of which goes on where the last stopped.

    python -m benchmarks.gpu pack --images FOLDER --out out/gpu          # here: images.tar.xz and wheels/
    python -m benchmarks.gpu run --images out/gpu/images.tar.xz --seconds 540 --out OUT [--before OLD] [PART ...]

`benchmarks/gpu.sh` does the second on the borrowed machine. What survives a call is in OUT: `figures.json` and the two
source models, no more than 8 files of up to 16 MiB; hand them to the next call as `--before`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import images, speed
from benchmarks.gpu.call import Call, say, take_over
from benchmarks.gpu.followups import SPECS, followup
from benchmarks.gpu.study import study
from core.errors import Stopped

PARTS: dict[str, tuple[Callable[[Call], dict[str, Any]], float]] = {
    "matrix": (speed.matrix_rate, 10),
    "attacks_resnet18": (partial(speed.attacks, depth=18), 60),
    "attacks_resnet50": (partial(speed.attacks, depth=50), 120),
    "adversarial_training": (speed.adversarial_training, 30),
    "feature_matching": (speed.feature_matching, 100),
    **{kind: (partial(followup, kind=kind), 100) for kind in SPECS},
}
"""By name: what does it, and the seconds without which it is not begun."""
LOCK = Path(__file__).parent.parent / "peers" / "requirements.lock"


def run(asked: argparse.Namespace) -> None:
    """One call."""
    take_over(asked.before, asked.out)
    with tempfile.TemporaryDirectory(prefix="sieve-gpu-") as name:
        scratch = Path(name)
        splits = images.read(asked.images, scratch)
        say(f"{len(splits.train)} images to train on, {len(splits.test)} to test on")
        device = torch.device(asked.device)
        torch.backends.cudnn.benchmark = True  # for the peers as well
        call = Call(device, splits, seconds=asked.seconds, scratch=scratch, out=asked.out, tiny=asked.tiny)
        for part in asked.parts or [*PARTS, "study"]:
            if part in PARTS:
                work, least = PARTS[part]
                call.part(part, partial(work, call), least=0 if asked.tiny else least)
                continue
            try:
                study(call, asked.study)
            except Stopped:
                say("study: out of time; the next call goes on")


def main() -> None:
    """Read the options, and do it."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    packing = commands.add_parser("pack", help="make what travels to the machine")
    packing.add_argument("--images", type=Path, required=True, help="image folder: train/<class>/*, test/<class>/*")
    packing.add_argument("--out", type=Path, default=Path("out/gpu"))
    packing.add_argument("--without-wheels", action="store_true")
    packing.set_defaults(do=pack)
    running = commands.add_parser("run", help="one call")
    running.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join([*PARTS, 'study'])}; all without")
    running.add_argument("--images", type=Path, required=True, help="image folder, or a tar of one")
    running.add_argument("--seconds", type=float, required=True, help="from now; nothing is begun that would not fit")
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--before", type=Path, help="what the last call left in --out")
    running.add_argument("--device", default="cuda")
    running.add_argument("--tiny", action="store_true", help="so little that a processor does it: to test the path")
    running.add_argument("--study", type=json.loads, default={}, metavar="JSON", help="changes to the study's preset")
    running.set_defaults(do=run)
    asked = parser.parse_args()
    if unknown := set(getattr(asked, "parts", [])) - {*PARTS, "study"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    asked.do(asked)


def pack(asked: argparse.Namespace) -> None:
    """What travels: the images in one file, and wheels."""
    size = images.pack(asked.images, asked.out).stat().st_size
    if not asked.without_wheels:
        images.fetch_wheels(asked.out / "wheels", images.locked_versions(LOCK))
        size += sum(path.stat().st_size for path in (asked.out / "wheels").iterdir())
    print(f"{asked.out}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
