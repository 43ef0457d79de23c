"""Whatever comes in whatever order, the rules of a job's life hold: a few steps here, ten thousand in a drill."""

from __future__ import annotations

from store.database import Database
from tests.lifecycle import machine_on, run


def test_whatever_comes_the_rules_hold(database: Database) -> None:
    machine = machine_on(database)
    run(machine, examples=6, steps=30)
    assert machine.steps > 50
