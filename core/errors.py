"""Errors of the science.

    CoreError
    ├── SpecRefused          a spec asks for what cannot be: names the field
    │   └── UnknownName      ... a name that nothing answers to
    ├── DataUnavailable      a dataset's files cannot be read or fetched
    ├── DamagedFile          a dataset or model file is cut short, or of another format
    │   └── DamagedCheckpoint ... a checkpoint that does not hold what was written to it
    ├── MixedArithmetic      an evaluation searched in fp32 on some hosts and in less on others
    ├── UploadRefused        an uploaded file is no dataset, or not one that is allowed
    ├── Diverged             a loss or a weight stopped being a number
    └── Stopped              the routine was asked to stop, and did

All but `Stopped` would repeat, so a job that raises one fails at once and is not tried again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CoreError(Exception):
    """Any error of `core`."""

    code = "core_error"


class SpecRefused(CoreError, ValueError):
    """A spec asks for what cannot be. `pointer` is the JSON pointer of the field, such as `/dataset/name`."""

    code = "spec_refused"

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer or '/'}: {message}")
        self.pointer = pointer
        self.message = message

    def under(self, prefix: str) -> SpecRefused:
        """The same refusal seen from an object that holds the refused one at `prefix`."""
        raised = type(self).__new__(type(self))
        SpecRefused.__init__(raised, prefix + self.pointer, self.message)
        return raised


class UnknownName(SpecRefused):
    """A name that nothing answers to, with the nearest ones that exist."""

    code = "unknown_name"

    def __init__(self, pointer: str, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}" if known else ""
        super().__init__(pointer, f"there is no {what} {name!r}{hint}")


class DataUnavailable(CoreError):
    """A dataset's files cannot be read or fetched."""

    code = "data_unavailable"


class DamagedFile(CoreError):
    """A dataset or model file is cut short, or of another format."""

    code = "damaged_file"


class DamagedCheckpoint(DamagedFile):
    """A checkpoint does not hold what was written to it."""

    code = "damaged_checkpoint"


class UploadRefused(CoreError):
    """An uploaded file is no dataset, or not one that is allowed."""

    code = "upload_refused"


class Diverged(CoreError):
    """A loss or a weight stopped being a number."""

    code = "diverged"


class MixedArithmetic(CoreError):
    """Some of an evaluation's blocks were attacked in less than fp32, and some on hosts that search in fp32."""

    code = "mixed_arithmetic"

    def __init__(self) -> None:
        super().__init__("some images were attacked in less than fp32, and some on a host that cannot: try it again")


class Stopped(CoreError):
    """The routine was asked to stop at a safe point, and did; a checkpoint says where to go on."""

    code = "stopped"
