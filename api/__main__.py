"""`python -m api`: serve until SIGTERM. Settings come from the environment, see `store.settings`."""

from __future__ import annotations

import argparse
import socket

import uvicorn

from store import logs
from store.settings import settings

DRAIN_SECONDS = 3
"""Event streams and downloads have this long to end."""


def serve(*, host: str = "127.0.0.1", port: int = 8420, listening: socket.socket | None = None) -> None:
    """Serve on an address, or on a socket that is bound already."""
    told = settings()
    logs.configure(told.log_format)
    config = uvicorn.Config(
        "api.app:create_app",
        factory=True,
        host=host,
        port=port,
        root_path=told.root_path,
        forwarded_allow_ips=told.trusted_proxies,
        log_config=None,
        access_log=False,  # `api.observed` says it with its time and without its query
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening] if listening else None)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m api", description="The REST service.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8420, help="port to listen on")
    asked = parser.parse_args()
    serve(host=asked.host, port=asked.port)


if __name__ == "__main__":
    main()
