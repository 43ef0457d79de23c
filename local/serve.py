"""The API process: `python -m local.serve FD` serves on a socket that the supervisor has bound.

So the port is taken once, before anything starts, and connections wait while a died API is started again.
"""

from __future__ import annotations

import socket
import sys

from api.__main__ import serve


def main(descriptor: int) -> None:
    """Serve until SIGTERM."""
    serve(listening=socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main(int(sys.argv[1]))
