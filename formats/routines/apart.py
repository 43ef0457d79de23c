"""Reading what nobody trusts, in a process of its own that answers in lines of JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from core.context import Context
from core.errors import UploadRefused

_ROOT = Path(__file__).parents[2]


def apart(command: list[str], context: Context) -> dict[str, Any]:
    """What the process found. It dies with this one: whoever runs an attempt kills all that it started.

    Raises:
        UploadRefused: with the reason that it gave, or because it died.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT, text=True) as child:  # noqa: S603 - our own
        assert child.stdout is not None
        try:
            for line in child.stdout:
                said: dict[str, Any] = json.loads(line)
                if "unpacked" in said:
                    unpacked: dict[str, Any] = said["unpacked"]
                    return unpacked
                if "refused" in said:
                    raise UploadRefused(said["refused"])
                context.progress("unpacking", said["done"], 0)
        finally:
            child.kill()
    raise UploadRefused("it could not be read: the process that unpacked it died of it")
