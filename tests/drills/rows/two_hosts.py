"""Two hosts share one synthesis out, and one of them is killed in the middle: the dataset is that of a single job.

A host is a worker with a name, a data folder and a scratch folder of its own. They have nothing in common but the
database, Redis and the folder of blobs.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from store.tables import Job
from tests.drills import saboteur
from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.load import TRAIN, synthesize
from tests.drills.stage import Place, Stage
from tests.jobs import events, look, submitted
from tests.working import eventually

HOSTS = ("north", "south")
SHARDS = 5
"""Of six blocks, so that one share has two."""
STEPS = 300
"""So that a block takes about a second."""


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.place(SIEVE_CPU_SLOTS="1") as place:
        place.settings["SIEVE_BLOBS"] = str(place.home / "blobs")
        hosts = {name: _host(place, name) for name in HOSTS}
        trained = place.until(place.submit({**TRAIN, "epochs": 4}), "succeeded", seconds=180)
        spec = synthesize(trained.id) | {"construction": {"method": "random_target", "steps": STEPS}}
        alone = place.until(place.submit(spec), "succeeded", seconds=180)
        for _ in range(n):
            yield _trial(stage, place, hosts, spec, [trained.id, alone.id])


def _trial(
    stage: Stage, place: Place, hosts: dict[str, subprocess.Popen[bytes]], spec: dict[str, Any], others: list[str]
) -> Trial:
    """Both hosts work on shares; one is killed, and the other does the rest."""
    for name, worker in hosts.items():
        hosts[name] = worker if worker.poll() is None else _host(place, name)
    whole = submitted(place.database, place.owner, spec, shards=SHARDS)
    place.bell.ring()
    shares = _shares(place, whole)
    eventually(lambda: _hosts_of(place, shares, "running") == set(HOSTS), 60, place.log)
    if stage.draw.random() < 0.5:
        running = [job for job in _look(place, shares) if job.state == "running"]
        eventually(lambda: any(events(place.database, job.id, "checkpoint") for job in running), 30, place.log)
    time.sleep(stage.draw.uniform(0, 0.5))
    victim = hosts[stage.draw.choice(HOSTS)]
    pids = saboteur.all_of(victim)
    blow = saboteur.strike(place.database, *pids)
    victim.wait()
    left = saboteur.left_after(pids[1:], 5 * stage.patience)
    place.until(whole, seconds=120)
    jobs = [whole.id, *shares]
    auditor = Auditor.of(place)
    found = auditor.check([*others, *jobs], strikes=[blow], patience=stage.patience)
    found += [f"{command} outlived its host" for command in left]
    after = _look(place, shares)
    return Trial(
        1,
        found,
        {
            "attempts_of_shares": sum(job.fence for job in after),
            "shares_by": [str(job.place).partition("/")[0] for job in after],
            "seconds": auditor.took(whole.id),
        },
    )


def _host(place: Place, name: str) -> subprocess.Popen[bytes]:
    """A worker of another host, which is ready."""
    own = place.home / name
    own.mkdir(exist_ok=True)
    return place.ready(place.start(SIEVE_HOST=name, SIEVE_HOME=str(own), SIEVE_SCRATCH=str(own / "local")))


def _shares(place: Place, whole: Job) -> list[str]:
    with place.database.transaction() as session:
        return list(session.scalars(select(Job.id).where(Job.shard_of == whole.id).order_by(Job.id)))


def _look(place: Place, ids: list[str]) -> list[Job]:
    return [look(place.database, id) for id in ids]


def _hosts_of(place: Place, shares: list[str], state: str) -> set[str]:
    return {str(job.place).partition("/")[0] for job in _look(place, shares) if job.state == state}


DRILL = Drill(
    name="two_hosts",
    holds="two hosts finish one synthesis that was shared out, one of them killed in the middle: the same bits",
    full=20,
    short=1,
    run=run,
    without=("tests.drills.protections:no_sweeping",),
)
