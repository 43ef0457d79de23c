"""What a researcher does with the page, in a real browser, against the whole service."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Route, expect

from local.service import Service
from sieve import Client
from store.database import Database
from store.tables import Metric
from tests.browser.conftest import Watched
from tests.browser.visiting import NARROW, Visit

Open = Callable[..., Visit]


def test_a_study_from_the_form_is_watched_to_its_end(study: Watched, visit: Open) -> None:
    assert study.states[-1] == "succeeded"
    assert "running" in study.states  # seen while nobody touched the page
    assert {"running", "succeeded"} <= study.boxes
    window = visit()
    window.go(f"/jobs/{study.id}")
    assert window.page.locator(".graph a.box.succeeded").count() == 19
    assert window.page.locator("table.results tbody tr").count() == 7
    expect(window.page.get_by_role("heading", name="Published")).to_be_visible()
    plot = window.page.locator("#plot-curves-1")
    plot.scroll_into_view_if_needed()
    expect(plot.locator(".scatterlayer .trace")).to_have_count(7)
    window.page.locator("#data-curves-1 summary").click()
    assert window.page.locator("#data-curves-1 tbody tr").count() == 7 * 4


def test_the_wall_shows_what_was_added_and_other_images(study: Watched, visit: Open) -> None:
    window = visit()
    window.go(f"/jobs/{study.id}")
    page = window.page
    rows = page.locator("#wall-table tr")
    assert rows.locator("th").all_inner_texts()[0] == "source"
    assert rows.count() == 5
    assert rows.first.locator("td").count() == 10
    tile = rows.nth(3).locator(".tile").first
    added = tile.locator(".added")
    expect(added).to_have_css("opacity", "0")
    tile.hover()
    expect(added).to_have_css("opacity", "1")
    before = rows.first.locator("img").first.get_attribute("src")
    page.locator("#wall-index").select_option("2")
    page.wait_for_function("old => document.querySelector('#wall-table img').src !== old", arg=before)
    page.locator("#wall-class").select_option(label="3")
    expect(rows.first.locator("small").first).to_have_text("3")
    assert set(rows.first.locator("small").all_inner_texts()) == {"3"}
    page.get_by_label("what was added").check()
    expect(added).to_have_css("opacity", "1")


def test_a_dataset_is_downloaded_and_exported(
    study: Watched, made: dict[str, str], visit: Open, tmp_path: Path
) -> None:
    window = visit()
    window.go(f"/datasets/{made['dataset']}")
    page = window.page
    assert page.locator(".gallery img").count() == 60
    with page.expect_download() as begun:
        page.locator("a.button", has_text="safetensors").click()
    begun.value.save_as(tmp_path / "dataset")
    shown = page.locator("dd .hash").get_attribute("title")
    assert hashlib.sha256((tmp_path / "dataset").read_bytes()).hexdigest() == shown
    page.get_by_role("button", name="npz").click()
    page.wait_for_url("**/jobs/job_*")
    assert window.wait_for_state("succeeded", "failed") == "succeeded"
    window.go(f"/datasets/{made['dataset']}")
    with page.expect_download() as begun:
        page.locator("a.button", has_text="npz").click()
    begun.value.save_as(tmp_path / "images.npz")
    assert (tmp_path / "images.npz").read_bytes()[:2] == b"PK"


def test_a_job_is_cancelled_while_its_curves_grow(visit: Open) -> None:
    window = visit()
    window.go("/new/train?dataset.name=digits&architecture.name=convnet")
    window.fill({"epochs": "5000", "name": "never ends"})
    expect(window.page.locator("#plan")).to_contain_text("About", timeout=60_000)  # known before it is submitted
    window.page.get_by_role("button", name="Submit").click()
    window.page.wait_for_url("**/jobs/job_*")
    window.wait_for_state("running")
    plot = window.page.locator("#plot-loss")
    expect(plot.locator(".scatterlayer .trace")).to_have_count(1, timeout=60_000)
    drawn = "() => document.getElementById('plot-loss').data[0].x.length"
    points = window.page.evaluate(drawn)
    window.page.wait_for_function(f"before => ({drawn})() > before", arg=points, timeout=60_000)
    window.page.get_by_role("button", name="Pause").click()
    assert window.wait_for_state("paused") == "paused"
    window.page.get_by_role("button", name="Resume").click()
    window.page.get_by_role("button", name="Cancel").click()
    assert window.wait_for_state("cancelled") == "cancelled"
    expect(window.page.locator("#standing")).to_contain_text("cancelled by its owner")


def test_a_submission_by_keyboard_alone(visit: Open) -> None:
    window = visit(signed_in=False)
    window.go("/")
    page = window.page

    def tab_to(selector: str) -> None:
        for _ in range(150):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not lead to {selector}")

    def activate() -> None:
        page.keyboard.press("Enter")

    tab_to("#key")
    page.keyboard.type(window.key)
    activate()
    page.wait_for_url(window.url + "/")
    tab_to(".skip")
    activate()
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to("a[href='/new/study'].button")
    activate()
    page.wait_for_url("**/new/study")
    tab_to("a[href='/new/train']")
    activate()
    page.wait_for_url("**/new/train")
    page.wait_for_selector("html[data-ready]")
    for name, value in {
        "name": "by keyboard",
        "dataset.name": "digits",
        "architecture.name": "convnet",
        "epochs": "1",
    }.items():
        tab_to(f"[name='{name}']")
        page.keyboard.type(value)
    tab_to("#submit")
    activate()
    page.wait_for_url("**/jobs/job_*")
    page.wait_for_selector("html[data-ready]")
    tab_to("#log-search")
    assert window.wait_for_state("succeeded", "failed") == "succeeded"


def test_what_is_wrong_stands_beside_its_field(visit: Open) -> None:
    window = visit(width=NARROW)
    window.go("/new/train")
    window.fill({"dataset.name": "digitz", "architecture.name": "convnet", "epochs": "many"})
    window.forgiven.append("console: Failed to load resource: the server responded with a status of 422")
    window.page.get_by_role("button", name="Submit").click()
    page = window.page
    expect(page.locator("#f-epochs-error")).to_contain_text("valid integer")
    expect(page.locator("[name=epochs]")).to_have_attribute("aria-invalid", "true")
    window.fill({"epochs": "2"})
    expect(page.locator("#f-dataset-name-error")).to_contain_text("did you mean", ignore_case=True)
    expect(page.locator("[name='dataset.name']")).to_have_value("digitz")


def short_training(window: Visit, name: str) -> str:
    """Submit one by the form; gives its id."""
    window.go(f"/new/train?dataset.name=digits&architecture.name=convnet&epochs=1&name={name}")
    window.page.get_by_role("button", name="Submit").click()
    window.page.wait_for_url("**/jobs/job_*")
    return window.page.url.rpartition("/")[2]


def test_what_is_no_number_breaks_no_page(visit: Open, service: Service) -> None:
    window = visit()
    id = short_training(window, "broken")
    window.wait_for_state("succeeded")
    database = Database(service.postgres.url())
    with database.transaction() as session:
        for step, value in enumerate([1.0, math.nan, math.inf, 2.0, 1e300], 2):
            session.add(Metric(job_id=id, name="loss", step=step, value=value))
    database.dispose()
    window = visit()
    window.go(f"/jobs/{id}")
    expect(window.page.locator("#plot-loss .scatterlayer .trace")).to_have_count(1)
    window.page.locator("#data-loss summary").click()
    expect(window.page.locator("#data-loss")).to_contain_text("nan")
    window.go(f"/compare?job={id}")
    expect(window.page.locator("#plot-loss .scatterlayer .trace")).to_have_count(1)


def test_who_leaves_a_page_is_not_brought_back_when_it_grows(visit: Open, service: Service) -> None:
    window = visit()
    id = short_training(window, "left behind")
    held: list[Route] = []
    window.page.route("**/datasets", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    window.page.get_by_role("link", name="Datasets").click(no_wait_after=True)
    with Client(service.url, service.key) as client:
        client.job(id).wait()
    window.page.wait_for_timeout(2000)  # the page looks once a second
    (route,) = held
    route.continue_()
    window.page.wait_for_url("**/datasets")


def test_specs_are_compared_and_copied(study: Watched, visit: Open) -> None:
    window = visit()
    window.go(f"/jobs/{study.id}")
    page = window.page
    jobs = page.locator(".graph a.box").evaluate_all("boxes => boxes.slice(0, 2).map(box => box.href.baseVal)")
    window.go(f"{jobs[0]}?against={jobs[1].rpartition('/')[2]}")
    expect(page.locator("#all-fields")).to_contain_text("adversary")
    page.locator("#copy-3 summary").click()
    expect(page.locator("#copied-3")).to_contain_text("sieve submit train --")


def test_signing_out_ends_the_session(visit: Open) -> None:
    window = visit()
    cookies = window.page.context.cookies()
    (session,) = [cookie for cookie in cookies if cookie["name"] == "sieve_session"]
    assert session["httpOnly"]
    assert session["sameSite"] == "Strict"
    window.page.get_by_role("button", name="Sign out").click()
    window.page.wait_for_url("**/signin")
    window.page.context.add_cookies([session])
    window.go("/")
    assert window.page.url.endswith("/signin")
