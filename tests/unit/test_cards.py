"""GPUs as their driver describes them, through the real NVML bindings; which of them are ours, and which are free."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.driver import Driver, build
from worker.cards import Card, Holder, NoCards, find_cards, in_the_way, usable


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return build(tmp_path)


def seen(
    driver: Driver, what: str = "{uuid: dataclasses.asdict(card) for uuid, card in cards.look().items()}"
) -> dict[str, Any]:
    """What a process finds that runs under this driver."""
    look = "import json, dataclasses, worker.cards; cards = worker.cards.find_cards()"
    answer = subprocess.run(
        [sys.executable, "-c", f"{look}; print(json.dumps({what}))"],
        env=os.environ | driver.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_a_card_says_what_it_knows(driver: Driver) -> None:
    driver.cards("3000 77", "0 0")
    first, second = seen(driver).values()
    assert first == {
        "uuid": "GPU-00000000",
        "name": "Card No. 0",
        "total": 80 << 30,
        "used": 3000 << 20,
        "utilisation": 40,
        "celsius": 60,
        "watts": 123.456,
        "holders": [{"pid": 77, "name": "process-77", "bytes": 3000 << 20}],
    }
    assert (second["watts"], second["holders"]) == (None, [])


def test_energy_where_a_card_tells_it(driver: Driver) -> None:
    driver.cards("0 0", "0 0")
    found = seen(driver, "{uuid: cards.joules(uuid) for uuid in cards.look()}")
    assert found == {"GPU-00000000": 5.0, "GPU-00000001": None}


def test_a_lost_card_is_missing(driver: Driver) -> None:
    driver.cards("0 0", "lost", "0 0")
    assert list(seen(driver)) == ["GPU-00000000", "GPU-00000002"]


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver")
def test_a_host_without_a_driver_has_no_cards() -> None:
    assert isinstance(find_cards(), NoCards)
    assert find_cards().look() == {}


def card(uuid: str = "GPU-a", used: int = 0, *holders: Holder) -> Card:
    return Card(uuid, "H200", 139 << 30, used, None, None, None, holders)


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        (None, ["GPU-aa", "GPU-ab", "GPU-b"]),
        ("", []),
        ("2,0", ["GPU-b", "GPU-aa"]),
        ("GPU-b, 1", ["GPU-b", "GPU-ab"]),
        ("0,7,1", ["GPU-aa"]),
        ("GPU-a", []),
        ("-1", []),
    ],
)
def test_only_visible_cards_are_used(allowed: str | None, left: list[str]) -> None:
    cards = {uuid: card(uuid) for uuid in ("GPU-aa", "GPU-ab", "GPU-b")}
    assert usable(cards, {} if allowed is None else {"CUDA_VISIBLE_DEVICES": allowed}) == left


def test_a_card_whose_memory_others_hold_is_not_free() -> None:
    gib = 1 << 30
    assert in_the_way(card(used=gib), foreign_mib=1024) is None
    assert in_the_way(card("GPU-a", 20 * gib), 1024) == "others hold 20.0 of 139.0 GiB of its memory"
    holders = [Holder(pid, "python", gib) for pid in (1, 2, 3, 4)]
    said = in_the_way(card("GPU-a", 20 * gib, *holders), 1024)
    assert said is not None
    assert said.endswith("memory: python (process 1), python (process 2), python (process 3) and 1 more")
