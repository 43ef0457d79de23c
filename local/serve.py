"""The API process: `python -m local.serve FD` serves on a socket that the supervisor has bound.

So the port is taken once, before anything starts, and connections wait while a died API is started again.
"""

from __future__ import annotations

import socket
import sys

import uvicorn


def main(descriptor: int) -> None:
    """Serve until SIGTERM; event streams get 3 seconds to end."""
    listening = socket.socket(fileno=descriptor)
    config = uvicorn.Config("api.app:create_app", factory=True, timeout_graceful_shutdown=3, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(int(sys.argv[1]))
