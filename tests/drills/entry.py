"""Start a process of the product with some of its functions replaced: `python -m tests.drills.entry MODULE [ARG]`.

`$DRILL_PATCHES` names the replacements, as JSON: functions `module:function`, each of which replaces something when it
is called. Each belongs to a process (`of_worker`, `of_nursery`, `of_api`). A worker starts its nursery through here as
well, and the children that are forked from that have its patches too. The product itself knows nothing of this.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

VARIABLE = "DRILL_PATCHES"
_STARTS = {"worker": "worker.__main__", "worker.nursery": "worker.nursery", "local.serve": "local.serve"}

Patch = Callable[[], None]


def _of(module: str) -> Callable[[Patch], Patch]:
    def mark(patch: Patch) -> Patch:
        patch.__dict__.setdefault("modules", set()).add(module)
        return patch

    return mark


of_worker, of_nursery, of_api = _of("worker"), _of("worker.nursery"), _of("local.serve")


def command(module: str, patches: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """How to start a module: the command, and what to add to the environment. Without patches, the product's own."""
    if not patches:
        return [sys.executable, "-m", module], {}
    return [sys.executable, "-m", "tests.drills.entry", module], {VARIABLE: json.dumps(list(patches))}


def apply(module: str, patches: Iterable[str]) -> None:
    """Call those patches that belong to this process."""
    for name in patches:
        where, _, what = name.partition(":")
        patch = getattr(importlib.import_module(where), what)
        if module in patch.modules:
            patch()


def main() -> None:
    """Patch, then do what the module does."""
    module, *arguments = sys.argv[1:]
    started = importlib.import_module(_STARTS[module])
    apply(module, json.loads(os.environ[VARIABLE]))
    if module == "worker":
        _hand_on()
    started.main(*map(int, arguments))


def _hand_on() -> None:
    """Let the nursery be started through here as well."""
    from worker import children

    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        where = command.index("worker.nursery")
        return subprocess.Popen([*command[:where], "tests.drills.entry", *command[where:]], **options)

    children.subprocess = SimpleNamespace(  # type: ignore[assignment]
        **{name: getattr(subprocess, name) for name in subprocess.__all__} | {"Popen": popen}
    )


if __name__ == "__main__":
    main()
