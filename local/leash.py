"""Become another program that ends when its parent ends.

    python -I -S leash.py SIGNAL PARENT UID GID COMMAND [ARGUMENT...]

The kernel sends SIGNAL to the program as soon as PARENT is gone, even after kill -9 (Linux only; elsewhere the program
simply runs). UID and GID are numbers, or `-` to stay who we are. They are changed here, not by the parent's fork,
because a change of user clears the parent-death signal. Run by file name and free of imports that cost time: it stands
before every start of a server.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Change user, tie this process to its parent, and become the command. Returns only if the parent is gone."""
    signal_number, parent, uid, gid, *command = arguments
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != int(parent):  # it died before we were tied to it
        return
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
