"""A hundred submissions in the same moment with one Idempotency-Key are one job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.drills.audit import Auditor
from tests.drills.drill import Drill, Trial
from tests.drills.stage import Stage
from tests.plugins.rehearsal import RehearsalSpec

AT_ONCE = 100


def run(stage: Stage, n: int) -> Iterator[Trial]:
    with stage.place() as place, place.served() as client:
        for number in range(n):
            body = RehearsalSpec(steps=number + 1).model_dump()
            key = {"Idempotency-Key": f"the same {number}"}
            together = threading.Barrier(AT_ONCE)
            with ThreadPoolExecutor(AT_ONCE) as crowd:
                asked = [crowd.submit(_submit, client, together, key, body) for _ in range(AT_ONCE)]
            answers = [one.result() for one in asked]
            jobs = {answer.json()["id"] for answer in answers if answer.is_success}
            found = [f"{answer.status_code}: {answer.text[:200]}" for answer in answers if not answer.is_success]
            if len(jobs) != 1:
                found.append(f"{len(jobs)} jobs were made")
            found += Auditor.of(place).check(jobs, end=("queued",))
            yield Trial(1, found, {"answers": len(answers), "jobs": len(jobs)})


def _submit(client: httpx.Client, together: threading.Barrier, key: dict[str, str], body: object) -> httpx.Response:
    together.wait()
    while True:  # as a client does: one that is told that another is in flight asks again
        answer = client.post("/v1/jobs", json=body, headers=key)
        if answer.status_code != 409 or answer.json()["code"] != "idempotency_key_in_flight":
            return answer


DRILL = Drill(
    name="idempotency",
    holds="100 concurrent submits with one Idempotency-Key make 1 job",
    full=20,
    short=1,
    seconds=5,
    run=run,
    without=("tests.drills.protections:no_idempotency",),
)
