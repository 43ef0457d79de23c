"""Which slots a worker makes, and what of a child's talk becomes a row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from store.settings import Settings
from worker import story
from worker.slots import plan_slots


def slots(gpus: int, **changed: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    given: dict[str, Any] = {"DATABASE_URL": "x", "REDIS_URL": "x", "home": Path("x"), **changed}
    return [(plan.name, plan.device, plan.takes) for plan in plan_slots(Settings(**given), gpus)]


def test_without_a_gpu_a_core_is_a_slot_for_everything() -> None:
    cores = len(os.sched_getaffinity(0))
    assert slots(0) == [(f"cpu:{core}", "cpu", ("cpu", "accelerator")) for core in range(cores)]
    assert len(slots(0, cpu_slots=7)) == 7
    assert slots(4, devices="cpu", cpu_slots=1) == [("cpu:0", "cpu", ("cpu", "accelerator"))]


def test_with_gpus_the_cpu_keeps_a_slot_for_short_jobs() -> None:
    expected = [
        ("cuda:0", "cuda:0", ("accelerator",)),
        ("cuda:1", "cuda:1", ("accelerator",)),
        ("cpu:0", "cpu", ("cpu",)),
    ]
    assert slots(2) == expected
    assert slots(8, devices="cuda:0, cuda:1") == expected
    assert [name for name, _, _ in slots(1, cpu_slots=2)] == ["cuda:0", "cpu:0", "cpu:1"]


def test_a_slot_knows_its_card_where_the_driver_does() -> None:
    settings = Settings(DATABASE_URL="x", REDIS_URL="x", home=Path("x"))
    assert [plan.card for plan in plan_slots(settings, 2, ["GPU-a", "GPU-b"])] == ["GPU-a", "GPU-b", None]
    assert [plan.card for plan in plan_slots(settings, 2, ["GPU-a"])] == [None, None, None], "PyTorch sees others"
    some = settings.model_copy(update={"devices": "cuda:1"})
    assert [plan.card for plan in plan_slots(some, 2, ["GPU-a", "GPU-b"])] == ["GPU-b", None]


def test_progress_is_kept_whole_and_told_thinly(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(story.time, "monotonic", lambda: clock[0])
    told = story.Story()
    for step in range(1001):
        clock[0] += 0.125
        told.tell({"say": "progress", "phase": "training", "step": step, "total": 1000})
        if step == 500:
            assert told.progress == {"phase": "training", "step": 500, "total": 1000, "eta_seconds": 62}
    happenings, points = told.take()
    steps = [data["step"] for _, data in happenings]
    assert steps[:3] == [0, 10, 20]
    assert steps[-1] == 1000
    assert len(steps) == 101
    assert points == []
    assert not told.due()
    told.tell({"say": "metrics", "points": [["loss", 1, 0.5]]})
    assert not told.due()
    clock[0] += 1
    assert told.due()
    told.take()
    told.tell({"say": "resumed", "step": 3, "changes": []})
    assert told.due()
