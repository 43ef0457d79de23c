"""`python -m worker`: run jobs until SIGTERM."""

from __future__ import annotations

import logging

from store.settings import settings
from worker.app import WorkerApp


def main() -> None:
    """Settings come from the environment, see `store.settings`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("celery").setLevel(logging.WARNING)
    WorkerApp(settings()).run()


if __name__ == "__main__":
    main()
