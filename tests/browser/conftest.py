"""The service, a browser, and a study that was submitted and watched with it. Skipped where there is no browser."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.visiting import Visit, browser_path, browsing, serving, tiny_study, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from local.service import Service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with browsing(path) as started:
        yield started


@pytest.fixture(scope="session")
def service(browser: Browser) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="sieve-browser-") as folder:
        Path(folder).chmod(0o711)
        with serving(Path(folder) / "home") as started:
            yield started


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Callable[..., Visit]]:
    """Opens a window, signed in; at the end no window may have complained."""
    opened = []
    with ExitStack() as windows:

        def open_window(*, signed_in: bool = True, **how: Any) -> Visit:
            one = windows.enter_context(visiting(browser, service.url, service.key, **how))
            opened.append(one)
            if signed_in:
                one.sign_in()
            return one

        yield open_window
        for one in opened:
            one.check()


@dataclass
class Watched:
    """A study that somebody submitted by the form and watched to its end."""

    id: str
    states: list[str]
    """That its page showed, in order, while nobody touched it."""
    boxes: set[str]
    """States that boxes of its graph were seen in."""


@pytest.fixture(scope="session")
def study(browser: Browser, service: Service) -> Watched:
    from playwright.sync_api import Error as BrowserError

    with visiting(browser, service.url, service.key) as window:
        window.sign_in()
        id = tiny_study(window)
        states: list[str] = []
        boxes: set[str] = set()
        while not states or states[-1] not in ("succeeded", "failed"):
            state = window.state()
            if not states or states[-1] != state:
                states.append(state)
            if state not in ("succeeded", "failed"):
                seen = "[...document.querySelectorAll('.box')].map(box => box.classList[1])"
                with contextlib.suppress(BrowserError):  # the page loads itself anew when there is more to show
                    boxes |= set(window.page.evaluate(seen))
                window.page.wait_for_timeout(100)
        window.page.wait_for_selector("#results-title")
        window.check()
    return Watched(id, states, boxes)


@pytest.fixture(scope="session")
def made(service: Service, study: Watched) -> dict[str, str]:
    """A dataset, a model and a training of the study's, by what they are."""
    from sieve import Client

    with Client(service.url, service.key) as client:
        (dataset, *_) = [one.id for one in client.datasets() if one.id.startswith("ds_")]
        model, job = next(iter(client.models())).id, next(iter(client.jobs(study=study.id, kind="train"))).id
        return {"dataset": dataset, "model": model, "job": job}
