"""`python -m worker`: run jobs until SIGTERM."""

from __future__ import annotations

import sys

from prometheus_client import start_http_server

from store import logs
from store.settings import settings
from worker.app import WorkerApp


def main() -> None:
    """Settings come from the environment, see `store.settings`."""
    told = settings()
    logs.configure(told.log_format)
    if told.metrics_port:
        start_http_server(told.metrics_port, addr="127.0.0.1")
    sys.exit(WorkerApp(told).run())


if __name__ == "__main__":
    main()
