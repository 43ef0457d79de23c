"""What a result says where its bits may be others than those of one undisturbed attempt."""

from __future__ import annotations

from typing import Any

import torch

from worker.fingerprint import changes, differences, fingerprint


def share(**figures: Any) -> dict[str, Any]:
    return {"environment": fingerprint(torch.device("cpu"), 1), "seconds": 1.0} | figures


def test_shares_of_one_environment_say_nothing() -> None:
    assert differences([]) == {}
    assert differences([share(), share(seconds=2.0)]) == {}


def test_shares_of_several_environments_say_so_once() -> None:
    other = fingerprint(torch.device("cpu"), 4)
    assert changes(share()["environment"], other) == ["threads 1 -> 4"]
    found = differences([share(), share(environment=other), share(environment=other)])
    assert found == {"shares_differ": ["threads 1 -> 4"]}
    resumed = share(resumed_elsewhere=["at step 3: torch 2.12 -> 2.13"])
    assert differences([share(), resumed]) == {"resumed_elsewhere": ["at step 3: torch 2.12 -> 2.13"]}
