"""kill -9 of a child, a nursery or a worker at random moments: no job is lost, and each ends with the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.drills import saboteur
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.load import Mix, in_the_middle
from tests.drills.stage import Crew, Stage

WAYS = ("child", "nursery", "worker", "worker and all below")


def run(stage: Stage, n: int) -> Iterator[Trial]:
    """Two workers with a slot each: what one loses, the other goes on with. Half of the jobs are real ones."""
    with stage.place(SIEVE_CPU_SLOTS="1") as place:
        crew = Crew(place, 2)
        mix, auditor = Mix(place), Auditor.of(place)
        for number in range(n):
            job, way = mix.submit(), WAYS[(number // 4 + number) % 4]
            deep = in_the_middle(place, job, saved=stage.draw.random() < 0.75)
            time.sleep(stage.draw.uniform(0, 0.5))
            victim = crew.holder(job)
            if not deep or victim is None:  # it was quicker than the saboteur
                continue
            nursery, children = saboteur.family(victim)
            everyone = saboteur.all_of(victim)
            pids = {"child": children, "nursery": [nursery], "worker": [victim.pid]}.get(way, everyone)
            blow = saboteur.strike(place.database, *pids)
            if way.startswith("worker"):
                victim.wait()
                crew.replace_the_dead()
            left = saboteur.left_after(everyone[1:] if way != "child" else children, 5 * stage.patience)
            place.until(job, seconds=90)
            found = auditor.check([job.id], strikes=[blow], patience=stage.patience)
            found += [f"{command} outlived a {way}" for command in left]
            resumed = auditor.resumed([job.id])
            yield Trial(1, found, {"kind": job.kind, "killed": way, "resumed_at": resumed})
        yield Trial(0, auditor.check(mix.undisturbed))


DRILL = Drill(
    name="kills",
    holds="0 lost jobs, 0 duplicated artifacts, the same bits, at most one checkpoint interval redone: kill -9",
    full=300,
    short=3,
    seconds=45,
    run=run,
    without=("tests.drills.protections:no_checkpoints",),
)
