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
    kinds = getattr(importlib.import_module(module), of).__mro__
    return {name for kind in kinds if home(kind) == "sieve" for name in vars(kind) if not name.startswith("_")}


def home(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def test_names_of_the_client() -> None:
    assert public("sieve.client", "Client") >= {
        *("close", "submit", "plan", "job", "jobs", "datasets", "dataset", "upload", "ingest", "models", "model"),
        *("report", "queue", "slots", "hold", "release", "usage", "presets", "architectures", "me", "policy"),
        *("keys", "create_key", "revoke_key", "webhooks", "webhook", "create_webhook", "forget_upload"),
        *("attacks", "formats", "kinds"),
    }
    assert public("sieve.job", "Job") >= {
        *("done", "succeeded", "refresh", "cancel", "pause", "resume", "retry", "delete", "wait", "stream", "events"),
        *("artifacts", "metrics", "logs", "report", "download", "path_of"),
        *("model", "dataset", "amend", "share", "unshare"),
    }
    assert public("sieve.objects", "Dataset") >= {
        "export",
        "download",
        "to_torch",
        "picture",
        "share",
        "unshare",
        "link",
    }
    assert public("sieve.objects", "Model") >= {"download", "made_by", "share", "unshare", "link"}
    assert public("sieve.objects", "Artifact") >= {"download", "link"}
    assert public("sieve.account", "Webhook") >= {"change", "ping", "deliveries", "delete"}


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
