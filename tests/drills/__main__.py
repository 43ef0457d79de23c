"""`python -m tests.drills`: hold drills, print a line of each, and end with 1 where one does not say what it should."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import pkgutil
import random
import signal
import subprocess
import sys
import time
import traceback

import tests.drills as package
from tests.drills import rows
from tests.drills.drill import Drill, Record, Trial, commit, line, on_record
from tests.drills.stage import Stage, raised
from tests.working import ROOT

LANES = 3
"""Of the short form."""
AGAIN = 5
"""Times that a drill is begun again because some of its trials were in vain: a job had ended before it was hurt."""


def all_drills() -> dict[str, Drill]:
    """Every drill of `rows`, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(rows.__path__))
    drills = [importlib.import_module(f"{rows.__name__}.{name}").DRILL for name in names]
    return {drill.name: drill for drill in drills}


def hold(stage: Stage, drill: Drill, n: int, *, off: bool, fresh: bool, seed: str = "") -> bool:
    """Hold one drill until it has n trials, print its line. Without its protection, until it has not held once."""
    record = Record(drill.name, off=off, short=stage.short)
    if fresh:
        record.forget()
    began, version, trials = time.monotonic(), commit(), record.read()
    done = sum(trial.n for trial in trials)
    stage.off, stage.patches = off, drill.without if off else ()
    stage.draw = random.Random(f"{drill.name} {done}{seed}")
    satisfied = off and not line(drill, trials, off=True)["held"]
    for _ in range(AGAIN):
        if done >= n or satisfied:
            break
        with contextlib.closing(_trials(drill, stage, n - done)) as running:
            began_trial = time.monotonic()
            for trial in running:
                record.add(trial, version, time.monotonic() - began_trial)
                began_trial = time.monotonic()
                trials.append(trial)
                done += trial.n
                if off and trial.found:
                    satisfied = True
                    break
    if wrong := stage.look_over():
        trials.append(Trial(0, wrong))
        record.add(trials[-1], version, 0)
    said = line(drill, trials, off=off, short=stage.short)
    said["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(said), flush=True)
    return bool(said["held"]) is not off


def _trials(drill: Drill, stage: Stage, n: int):  # type: ignore[no-untyped-def]
    """A drill's trials; one that could not be brought to its end has not held."""
    try:
        yield from drill.run(stage, n)
    except Exception as error:
        if not stage.off:
            traceback.print_exc(limit=-6)
        stage.clear()
        first = str(error).partition("\n")[0]
        yield Trial(1, [f"{type(error).__name__}: {first[:300]}"])


def in_lanes(drills: list[Drill]) -> bool:
    """Hold the short form of drills side by side: they mostly wait. Those that share a worker are one lane."""
    lanes: list[list[Drill]] = [[drill for drill in drills if drill.shares], *([] for _ in range(LANES - 1))]
    for drill in sorted(drills, key=lambda drill: drill.seconds, reverse=True):
        if not drill.shares:
            min(lanes, key=lambda lane: sum(one.seconds for one in lane)).append(drill)
    command = [sys.executable, "-m", "tests.drills", "--short"]
    running = [subprocess.Popen([*command, *(drill.name for drill in lane)], cwd=ROOT) for lane in lanes if lane]
    return not any([process.wait() for process in running])


def main() -> None:
    """See the package's docstring."""
    drills = all_drills()
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=str(package.__doc__).partition("\n")[0])
    parser.add_argument("drills", nargs="*", metavar="DRILL", help=f"all of them, or some of {', '.join(drills)}")
    parser.add_argument("--n", type=int, help="trials, those that are on record included")
    parser.add_argument("--short", action="store_true", help="as CI does: few trials, none of them from the record")
    parser.add_argument("--off", action="store_true", help="only without the protection")
    parser.add_argument("--on", action="store_true", help="only with the protection")
    parser.add_argument("--seed", default="", help="other moments and victims: for a second run beside another")
    parser.add_argument("--fresh", action="store_true", help="forget what is on record")
    parser.add_argument("--record", action="store_true", help="hold nothing; print what is on record")
    asked = parser.parse_args()
    if unknown := set(asked.drills) - set(drills):
        parser.error(f"there is no drill {', '.join(sorted(unknown))}")
    chosen = [drills[name] for name in asked.drills or drills]
    if asked.record:
        for drill, off in ((drill, off) for drill in chosen for off in (False, True)):
            if said := on_record(drill, off=off):
                print(json.dumps(said))
        return
    if asked.short:
        chosen = [drill for drill in chosen if drill.short]
    if asked.short and not asked.drills:
        sys.exit(not in_lanes(chosen))
    good = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing that was started is left running
    with raised() as stage:
        stage.short = asked.short
        for off in [False] * (not asked.off) + [True] * (asked.off or not (asked.on or asked.short)):
            for drill in chosen:
                n = asked.n or (drill.short if asked.short else drill.full)
                good &= hold(stage, drill, n, off=off, fresh=asked.fresh or asked.short, seed=asked.seed)
            stage.clear()
    sys.exit(not good)


if __name__ == "__main__":
    main()
