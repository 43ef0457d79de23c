"""A browser on this machine, and people who visit the page with it. Whatever their browser complains about is kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect, sync_playwright

from local.home import Home
from local.service import Service

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
expect.set_options(timeout=30_000)  # a machine may be busy
WIDE, NARROW = 1280, 390

TINY = {
    "dataset.limit_train": "160",
    "dataset.limit_test": "60",
    "training.epochs": "2",
    "training.validation_fraction": "0.2",
    "random_target_training.epochs": "2",
    "deterministic_target_training.epochs": "2",
    "adversarial_training.epochs": "1",
    "robust.steps": "4",
    "random_target.steps": "4",
    "deterministic_target.steps": "4",
    "evaluation.attacks": "[{name: pgd, options: {steps: 2, restarts: 1}}]",
}
"""What makes the study on digits small enough for a test, as one fills it in."""


def browser_path() -> str | None:
    """The browser that there is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browsing(path: str) -> Iterator[Browser]:
    """A browser, with a profile that is new and forgotten after it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """The whole service on a data folder."""
    with Home(folder) as home:
        assert home.hold()
        service = Service(home, environment={"OMP_NUM_THREADS": "1", "SIEVE_CHECKPOINT_SECONDS": "1"})
        service.start()
        try:
            yield service
        finally:
            service.stop(drain_seconds=5)


@dataclass
class Visit:
    """Somebody's browser window."""

    page: Page
    url: str
    key: str
    complaints: list[str] = field(default_factory=list)
    """Errors on the console, exceptions, and requests to anywhere else."""
    forgiven: list[str] = field(default_factory=list)
    """Beginnings of complaints that a test provokes."""

    def listen(self) -> None:
        """Keep what the browser complains about."""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def go(self, path: str) -> None:
        """To one of the pages, until its scripts are ready."""
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"
        self.page.wait_for_selector("html[data-ready]")

    def sign_in(self) -> None:
        """With the key."""
        self.go("/signin")
        self.page.get_by_label("Key").fill(self.key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(self.url + "/")

    def fill(self, values: dict[str, str]) -> None:
        """Fields of the form of a new job; what they are folded away in is unfolded."""
        for name, value in values.items():
            field = self.page.locator(f'[name="{name}"]')
            for details in field.locator("xpath=ancestor::details[not(@open)]").all():
                details.locator("> summary").click()
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)

    def state(self) -> str:
        """Of the job that is looked at."""
        return self.page.locator("#standing .state").inner_text()

    def wait_for_state(self, *states: str, seconds: float = 100) -> str:
        """Without touching the page."""
        until = time.monotonic() + seconds
        while (state := self.state()) not in states:
            assert time.monotonic() < until, f"it is {state} after {seconds} s"
            self.page.wait_for_timeout(100)
        return state

    def check(self) -> None:
        """See that nothing was complained about."""
        found = [one for one in self.complaints if not one.startswith(tuple(self.forgiven or ["-"]))]
        assert not found, "\n".join(found)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text}")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" != self.url:
            self.complaints.append(f"request to {url}")


@contextmanager
def visiting(
    browser: Browser, service_url: str, key: str, *, theme: str = "light", width: int = WIDE
) -> Iterator[Visit]:
    """A window of its own, that is not signed in."""
    scheme: Any = theme
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(60_000)
    visit = Visit(context.new_page(), service_url, key)
    visit.listen()
    try:
        yield visit
    finally:
        context.close()


def tiny_study(visit: Visit) -> str:
    """Submit one by the form; gives its id."""
    visit.go("/new/study")
    visit.fill({"name": "a study by hand", **TINY})
    visit.page.get_by_role("button", name="Submit").click()
    visit.page.wait_for_url("**/jobs/job_*")
    return visit.page.url.rpartition("/")[2]
