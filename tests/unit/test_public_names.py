"""The names that users import. Taking one away breaks their code: that is a decision, not an edit."""

from __future__ import annotations

import importlib
import inspect

import sieve
from sieve import errors


def test_names_of_the_package() -> None:
    assert sieve.__all__ == ["Client", "__version__"]
    assert all(getattr(sieve, name) for name in sieve.__all__)


def public(module: str, of: str) -> set[str]:
    members = vars(getattr(importlib.import_module(module), of))
    return {name for name in members if not name.startswith("_")}


def test_names_of_the_client() -> None:
    assert public("sieve.client", "Client") >= {
        *("close", "submit", "plan", "job", "jobs", "datasets", "dataset", "upload", "ingest", "models", "model"),
        *("report", "queue", "slots", "hold", "release", "usage", "presets", "architectures", "me"),
    }
    assert public("sieve.job", "Job") >= {
        *("done", "succeeded", "refresh", "cancel", "pause", "resume", "retry", "delete", "wait", "stream", "events"),
        *("artifacts", "metrics", "logs", "report", "download", "path_of"),
        *("model", "dataset"),
    }
    assert public("sieve.objects", "Dataset") >= {"export", "download", "to_torch", "picture"}
    assert public("sieve.objects", "Model") >= {"download", "made_by"}


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """Indentation in the module's docstring is inheritance."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│ ├└─").split(" ")[0]
        if name.isidentifier() and hasattr(errors, name):
            depth = (len(line) - len(line.lstrip("│ ├└─"))) // 4
            above[depth:] = [name]
            if depth:
                drawn[name] = above[depth - 1]
    real = {
        name: kind.__base__.__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.SieveError) and kind is not errors.SieveError and kind.__base__ is not None
    }
    assert drawn == real
