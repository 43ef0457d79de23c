"""A study whose worker is killed ends as an undisturbed one does. The long form: `make drills DRILLS=study`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.planning import parse
from local.postgres import Postgres
from local.redis import Redis
from tests.drills.kill_and_resume import drill
from tests.working import workplace

SMALL: dict[str, Any] = {
    "kind": "study",
    "preset": "digits",
    "dataset": {"name": "digits", "limit_train": 400, "limit_test": 100},
    "training": {"epochs": 2},
    "adversarial_training": {"epochs": 10},
    "robust": {"steps": 40},
    "random_target": {"steps": 10},
    "deterministic_target": {"steps": 10},
    "evaluation": {
        "threats": [{"epsilons": [0.5]}],
        "attacks": [{"name": "pgd", "options": {"steps": 5, "restarts": 1}}],
        "noise": [],
    },
}


@pytest.mark.timeout(600)
def test_a_few_kills(postgres: Postgres, redis_server: Redis, tmp_path: Path) -> None:
    line = drill(
        lambda name: workplace(postgres, redis_server.url, tmp_path / name),
        parse(SMALL),
        kills=2,
        seed=1,
        settings={"SIEVE_CHECKPOINT_SECONDS": "0.1"},
    )
    print(json.dumps(line))
    held = line["what_held"]
    del held["at_most_one_interval_redone"]  # in seconds: the drill's to judge, on a machine that does nothing else
    assert all(held.values()), json.dumps(line)
