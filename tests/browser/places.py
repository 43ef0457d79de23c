"""Every page, by name."""

from __future__ import annotations

from collections.abc import Mapping

PLACES = {
    "overview": "/",
    "job": "/jobs/{job}",
    "study": "/jobs/{study}",
    "datasets": "/datasets",
    "dataset": "/datasets/{dataset}",
    "models": "/models",
    "model": "/models/{model}",
    "compare": "/compare?job={study}",
    "new study": "/new/study",
    "new training": "/new/train",
    "new synthesis": "/new/synthesize",
    "account": "/account",
    "admin": "/admin",
}


def address(name: str, study: str, made: Mapping[str, str]) -> str:
    """Where a page is. `made`: ids of a `dataset`, a `model` and a `job`."""
    return PLACES[name].format(study=study, **made)
