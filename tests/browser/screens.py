"""Pictures of every page, light and dark, wide and narrow: `python -m tests.browser.screens`, or `make screenshots`.

On a service of its own, with a study on digits that it runs first; or, with --url and --key, on one that is there.
With --docs, a choice of them, small, goes into docs/images as well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from sieve import Client
from tests.browser.places import PLACES, address
from tests.browser.visiting import NARROW, WIDE, browser_path, browsing, serving, visiting

FOLDER = Path("out/screens")
DOCS = Path("docs/images")
LOOKS = (("light", WIDE), ("dark", WIDE), ("light", NARROW), ("dark", NARROW))
CHOSEN = {
    ("overview", "light", WIDE): 900,
    ("study", "light", WIDE): 1500,
    ("job", "dark", WIDE): 1050,
    ("dataset", "light", WIDE): 1500,
    ("model", "dark", WIDE): 1300,
    ("compare", "light", WIDE): 1000,
    ("new study", "light", WIDE): 900,
    ("admin", "dark", WIDE): 900,
    ("study", "dark", NARROW): 1700,
    ("new synthesis", "light", NARROW): 1500,
}
"""For the docs, and how much of their height."""


@contextmanager
def _service(url: str | None, key: str) -> Iterator[tuple[str, str]]:
    if url is not None:
        yield url, key
        return
    with tempfile.TemporaryDirectory(prefix="sieve-screens-") as folder:
        Path(folder).chmod(0o711)
        with serving(Path(folder) / "home") as service:
            yield service.url, service.key


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--url", help="a service that runs already")
    parser.add_argument("--key", default="", help="an admin's key of it")
    parser.add_argument("--docs", action="store_true")
    asked = parser.parse_args()
    path = browser_path()
    if path is None:
        sys.exit("there is no Chromium on this machine: apt-get install chromium")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _service(asked.url, asked.key) as (url, key), Client(url, key) as client, browsing(path) as browser:
        study = next((one for one in client.jobs(kind="study", state="succeeded")), None)
        if study is None:
            study = client.submit({"kind": "study", "preset": "digits"}, name="digits").wait()
        job = next(iter(client.jobs(study=study.id, kind="train")))
        parts = {part.node: part.id for part in client.jobs(study=study.id)}
        made = {
            "job": parts.get("0/train/D_adv", job.id),
            "dataset": client.job(parts["0/synthesize/D_R"]).outputs["dataset"],
            "model": client.job(parts["0/train/D_adv"]).outputs["model"],
        }
        for theme, width in LOOKS:
            _pictures(partial(visiting, browser, url, key), theme, width, study.id, made)
    if asked.docs:
        _to_docs()


def _pictures(open_window: Callable[..., Any], theme: str, width: int, study: str, made: dict[str, str]) -> None:
    with open_window(theme=theme, width=width) as visit:
        visit.go("/signin")
        _take(visit.page, "sign in", theme, width)
        visit.sign_in()
        for name in PLACES:
            visit.go(address(name, study, made))
            for plot in visit.page.locator(".plot").all():
                plot.scroll_into_view_if_needed()
                plot.locator(".plot-container").wait_for()
            visit.page.evaluate("scrollTo(0, 0)")
            visit.page.wait_for_timeout(300)
            _take(visit.page, name, theme, width)


def _take(page: Page, name: str, theme: str, width: int) -> None:
    path = FOLDER / _file(name, theme, width)
    page.screenshot(path=path, full_page=True)
    print(path)


def _to_docs() -> None:
    """The chosen ones, cut and with few colours."""
    for (name, theme, width), height in CHOSEN.items():
        written = _file(name, theme, width)
        image = Image.open(FOLDER / written).convert("RGB")
        image = image.crop((0, 0, image.width, min(height, image.height)))
        if width == WIDE:
            image = image.resize((960, round(960 * image.height / image.width)), Image.Resampling.LANCZOS)
        image.quantize(96, dither=Image.Dither.NONE).save(DOCS / f"page-{written}", optimize=True)


def _file(name: str, theme: str, width: int) -> str:
    return f"{name.replace(' ', '-')}-{theme}-{'wide' if width == WIDE else 'narrow'}.png"


if __name__ == "__main__":
    main()
