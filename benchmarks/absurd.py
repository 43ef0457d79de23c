"""Absurd submissions: `python -m benchmarks.absurd`. Each must be refused with a 422, at once, without a row.

Numbers beyond all bounds, batches that no memory holds, images of the size of cities, attacks that never end, junk in
every place of a sensible spec, and much of it nested. One client, the API in this process on a real PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import func, select

from api.app import create_app
from local.migrations import migrate
from local.postgres import Postgres
from store import accounts
from store.database import Database
from store.settings import Settings
from store.tables import Delivery, Event, IdempotencyKey, Job, MeasuredNetwork, Need

TRAIN: dict[str, Any] = {
    "kind": "train",
    "dataset": {"name": "digits"},
    "architecture": {"name": "convnet"},
    "adversary": {"norm": "l2", "epsilon": 0.5, "steps": 7},
    "schedule": {"name": "one_cycle", "warmup": 0.25},
    "labels": {"paper": "table-2"},
}
STUDY: dict[str, Any] = {
    "kind": "study",
    "preset": "digits",
    "training": {"epochs": 40},
    "evaluation": {"noise": [0.1]},
}
LONG: dict[str, Any] = {"epochs": 10_000, "adversary": {"steps": 10_000}}
HUGE = (10**9, 10**18, 10**30, -1, -(10**12), 1e308, -0.5, 2**63, 10**100)
JUNK: tuple[Any, ...] = (
    None, True, "", "x" * 300, [], {}, [[[[]]]], {"a": {"b": {}}}, "\u0000", "\ud83d", "1e9", ["digits"] * 50,
    "../../etc/passwd",
    "'; drop table jobs; --", "${jndi:ldap://x}", "<script>", {"$ref": "#"}, {"__class__": "os"}, "NaN",
)  # fmt: skip
IMPOSSIBLE: tuple[dict[str, Any], ...] = (
    TRAIN | {"epochs": 10**9},
    TRAIN | {"batch_size": 10**9},
    TRAIN
    | {"epochs": 10_000, "adversary": {"steps": 10_000}, "dataset": {"name": "planted", "options": {"train": 10**9}}},
    TRAIN
    | {"epochs": 10_000, "adversary": {"steps": 10_000}, "dataset": {"name": "planted", "options": {"size": 10**6}}},
    TRAIN | {"architecture": {"name": "convnet", "options": {"widths": [10**9] * 3}}},
    TRAIN | {"architecture": {"name": "resnet", "options": {"depth": 10**6}}},
    TRAIN | {"shards": 10**6},
    TRAIN | {"max_run_time": 1e300},
    STUDY | {"seeds": list(range(10**4))},
    STUDY | {"robust": {"steps": 10**12}},
    STUDY | {"evaluation": {"threats": [{"norm": "l2", "epsilons": [0.5] * 1000}]}},
)


def absurd(count: int, seed: int = 0) -> Iterator[Any]:
    """So many absurd bodies."""
    rng = random.Random(seed)  # noqa: S311 - a draw of test cases
    yield from IMPOSSIBLE[:count]
    for number in range(count - len(IMPOSSIBLE)):
        base = json.loads(json.dumps(rng.choice((TRAIN, STUDY))))
        sort = number % 4
        if sort == 0:
            field = rng.choice(("epochs", "batch_size", "learning_rate", "momentum", "crop_padding", "weight_decay"))
            (base if base["kind"] == "train" else base["training"])[field] = rng.choice(HUGE)
        elif sort == 1:
            place, name = rng.choice(("dataset", "architecture")), rng.choice(("digits", "convnet", "planted"))
            base[place] = {"name": name, "options": {"size": rng.choice(JUNK)}, "x": 1}
        elif sort == 2:
            base[rng.choice(("dataset", "architecture", "kind", "evaluation", "robust", "schedule"))] = _nested(rng)
            base["and"] = rng.choice(JUNK)
        else:
            base[rng.choice(("epoch", "batchsize", "__proto__", "constructor", "", "a" * 500))] = rng.choice(JUNK)
        yield base


def _nested(rng: random.Random) -> Any:
    value: Any = rng.choice(JUNK)
    for _ in range(rng.randrange(1, 300)):
        value = [value] if rng.random() < 0.5 else {"name": value}
    return value


def measure(count: int) -> dict[str, Any]:
    """Submit them all."""
    folder = Path(tempfile.mkdtemp(prefix="sieve-absurd-"))
    folder.chmod(0o711)
    postgres = Postgres(folder / "postgres", log=folder / "postgres.log")
    postgres.start()
    try:
        migrate(postgres.url())
        database = Database(postgres.url())
        with database.transaction() as session:
            key = accounts.create_key(session, accounts.create_user(session, "ada", "member"))
        where: dict[str, Any] = {"DATABASE_URL": postgres.url(), "REDIS_URL": "redis://127.0.0.1:1"}
        told = Settings(**where, home=folder, requests_per_second=0)
        signed_in = {"Authorization": f"Bearer {key}"}
        seconds, statuses, others = [], Counter[int](), []
        with TestClient(create_app(told), headers=signed_in, raise_server_exceptions=False) as client:
            client.get("/v1/me")
            for body in absurd(count):
                text = json.dumps(body)
                began = time.perf_counter()
                answer = client.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
                seconds.append(time.perf_counter() - began)
                statuses[answer.status_code] += 1
                if answer.status_code != 422:
                    others.append(f"{answer.status_code} {text[:200]}")
        with database.transaction() as session:
            tables = (Job, Need, Event, Delivery, IdempotencyKey, MeasuredNetwork)
            rows = sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables)
        database.dispose()
    finally:
        postgres.stop()
    milliseconds = sorted(1000 * one for one in seconds)
    return {
        "n": count,
        "statuses": dict(statuses),
        "rows": rows,
        "p50_ms": round(statistics.median(milliseconds), 2),
        "p99_ms": round(milliseconds[int(0.99 * len(milliseconds))], 2),
        "max_ms": round(milliseconds[-1], 2),
        "others": others[:10],
    }


def main() -> None:
    """Print the figures; fail where one was not refused, or left a row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.absurd")
    parser.add_argument("--n", type=int, default=1000)
    found = measure(parser.parse_args().n)
    print(json.dumps(found))
    sys.exit(set(found["statuses"]) != {422} or found["rows"] > 0)


if __name__ == "__main__":
    main()
