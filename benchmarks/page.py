"""How fast is the web page with a lot stored? 10,000 jobs, 200,000 points of curves, 1,000 images; a real browser.

    python -m benchmarks.page --out out/bench/page.json

The API as `sieve up` runs it, one process, on a PostgreSQL of its own. Of each page: the time until the server has
answered (whole, over loopback, median and worst of `--requests`), and in Chromium, with an empty cache, the time from
asking until the page can be used: its scripts have run and every handler listens. Plots are drawn after that, when they
come near; how long until the first one is drawn is told apart. Nothing works meanwhile: jobs were put in as rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save_file
from sqlalchemy import text

from benchmarks.reads import fill
from benchmarks.record import FOLDER, record
from benchmarks.serving import served, servers
from store import sessions
from store.artifacts import StoredFile, publish_blobs
from store.blobs import DiskBlobs
from store.database import Database
from store.ids import new_id
from store.tables import Artifact, Dataset

JOB = "job_curves0001"
"""The job with all the points."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ANSWERS, INTERACTIVE = 300, 1500
"""Milliseconds that are asked for."""

_JOB = """
    insert into jobs (id, kind, name, owner_id, spec, slot, state, created_at, started_at, produces, last_event)
    select :job, 'train', 'with many points', id,
           '{"kind": "train", "dataset": {"name": "digits"}, "architecture": {"name": "convnet"}, "epochs": 10}',
           'accelerator', 'succeeded', now(), now(), '{}', 0
    from users where name = 'root'
"""
_POINTS = """
    insert into metrics (job_id, name, step, value)
    select :job, (array['loss', 'validation', 'validation_robust', 'rate'])[1 + n % 4], n / 4,
           case when n % 5000 = 0 then 'NaN'::double precision else exp(-n / 60000.0) + random() / 20 end
    from generate_series(0, :points - 1) n
"""
_LOG = """
    insert into events (job_id, id, type, data)
    select :job, n, 'log', jsonb_build_object('message', 'line ' || n || ' of the log') from generate_series(1, 5000) n
"""


def stored(database: Database, blobs: DiskBlobs, points: int, images: int) -> str:
    """A job with all the curves, and a dataset; gives the dataset's id."""
    with database.transaction() as session:
        session.execute(text(_JOB), {"job": JOB})
        session.execute(text(_POINTS), {"job": JOB, "points": points})
        session.execute(text(_LOG), {"job": JOB})
        session.execute(text("update jobs set last_event = 5000 where id = :job"), {"job": JOB})
        dataset = _dataset(session, blobs, images)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
    return dataset


def _dataset(session: Any, blobs: DiskBlobs, images: int) -> str:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 10, images)
    tensors: dict[str, Any] = {
        "images": draws.random((images, 3, 32, 32), np.float32),
        "labels": labels,
        "original_label": draws.integers(0, 10, images),
        "norm": draws.random(images).astype(np.float32),
    }
    classes = [f"class {label}" for label in range(10)]
    header = json.dumps({"format": "dataset", "version": 1, "classes": classes})
    path = blobs.root / "made"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"feature_sieve": header})
    sha256, size = blobs.put(path)
    publish_blobs(session, blobs, [(sha256, size)])
    file = StoredFile("dataset.safetensors", "dataset", "application/octet-stream", sha256, size)
    artifact = Artifact(id=new_id("art"), job_id=JOB, **file.__dict__)
    session.add(artifact)
    session.flush()
    owner = session.scalar(text("select id from users where name = 'root'"))
    card = {"shape": [3, 32, 32], "classes": classes, "train_images": images, "test_images": 0}
    made = Dataset(id=new_id("ds"), owner_id=owner, job_id=JOB, artifact_id=artifact.id, card=card)
    session.add(made)
    session.flush()
    return made.id


def answered(url: str, cookie: str, path: str, requests: int) -> dict[str, Any]:
    """Milliseconds until the whole page is here, the first request not counted."""
    times, size = [], 0
    with httpx.Client(base_url=url, cookies={"sieve_session": cookie}, headers={"Accept": "text/html"}) as http:
        for number in range(requests + 1):
            before = time.perf_counter()
            answer = http.get(path)
            if number:
                times.append(1000 * (time.perf_counter() - before))
            assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
            size = len(answer.content)
    return {"median": round(statistics.median(times), 1), "worst": round(max(times), 1), "bytes": size, "n": requests}


def interactive(browser: Any, url: str, cookie: str, path: str, loads: int) -> dict[str, Any]:
    """Milliseconds until the page can be used, and until its first plot is drawn, in a new profile each time."""
    ready, drawn = [], []
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_cookies([{"name": "sieve_session", "value": cookie, "url": url}])
        page = context.new_page()
        page.add_init_script(
            "new MutationObserver(() => { if ('ready' in document.documentElement.dataset && !window.readyAt)"
            " window.readyAt = performance.now(); }).observe(document, {subtree: true, attributes: true});"
        )
        page.goto(url + path)
        page.wait_for_function("() => window.readyAt")
        ready.append(page.evaluate("window.readyAt"))
        if page.locator(".plot").count():
            page.locator(".plot").first.scroll_into_view_if_needed()
            page.wait_for_selector(".plot .plot-container")
            drawn.append(page.evaluate("performance.now()"))
        context.close()
    told = {"median": round(statistics.median(ready)), "worst": round(max(ready)), "n": loads}
    return told | ({"first_plot": round(statistics.median(drawn))} if drawn else {})


def main() -> None:
    """Measure, record."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=30, help="of each page")
    parser.add_argument("--loads", type=int, default=5, help="of each page, in the browser")
    parser.add_argument("--out", type=Path, default=FOLDER / "page.json")
    asked = parser.parse_args()
    with servers() as place:
        keys = fill(place.database, asked.jobs)
        dataset = stored(place.database, DiskBlobs(place.blobs), asked.points, asked.images)
        with place.database.transaction() as session:
            cookie = sessions.sign_in(session, keys["admin"])
        assert cookie is not None
        with served(place) as (url, _):
            pages = _measured(url, cookie, dataset, asked)
    answers = max(one["answers"]["worst"] for one in pages.values())
    loads = [one["interactive"]["worst"] for one in pages.values() if "interactive" in one]
    shown = {
        "benchmark": "page",
        "jobs": asked.jobs,
        "points": asked.points,
        "images": asked.images,
        "answers_worst": answers,
        "answers_asked": ANSWERS,
        "interactive_worst": max(loads, default=None),
        "interactive_asked": INTERACTIVE,
        "pages": pages,
    }
    record(asked.out, shown, ("fastapi", "jinja2", "plotly", "playwright", "sqlalchemy", "uvicorn"))


def _measured(url: str, cookie: str, dataset: str, asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    paths = {
        "overview": "/",
        "overview of everybody": "/?whose=all&parts=true",
        "job": f"/jobs/{JOB}",
        "dataset": f"/datasets/{dataset}",
        "datasets": "/datasets",
        "models": "/models",
        "compare": f"/compare?job={JOB}",
        "new study": "/new/study",
        "account": "/account",
        "admin": "/admin",
    }
    pages: dict[str, dict[str, Any]] = {
        name: {"answers": answered(url, cookie, path, asked.requests)} for name, path in paths.items()
    }
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None or not asked.loads:
        return pages
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not where there is no browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name, where in paths.items():
            pages[name]["interactive"] = interactive(browser, url, cookie, where, asked.loads)
        browser.close()
    return pages


if __name__ == "__main__":
    main()
