"""axe finds nothing serious on any page, light and dark, wide and narrow; nothing sticks out of a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Watched
from tests.browser.places import PLACES, address
from tests.browser.visiting import NARROW, WIDE, Visit


@pytest.mark.parametrize(("theme", "width"), [("light", WIDE), ("dark", WIDE), ("dark", NARROW)])
def test_pages_are_accessible(
    visit: Callable[..., Visit], study: Watched, made: dict[str, str], theme: str, width: int
) -> None:
    window = visit(theme=theme, width=width)
    found: list[str] = []
    for name in PLACES:
        window.go(address(name, study.id, made))
        window.page.wait_for_timeout(150)
        _judge(window, name, found)
        wider = window.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wider > 0:
            found.append(f"{name} is {wider} pixels wider than the window")
    window.page.get_by_role("button", name="Sign out").click()
    window.page.wait_for_url("**/signin")
    _judge(window, "signin", found)
    assert not found, "\n".join(found)


def _judge(window: Visit, name: str, found: list[str]) -> None:
    # Given to the page by the browser's own protocol: the page's policy lets in no script but its own.
    results = Axe().run(window.page)
    for violation in results.response["violations"]:
        if violation["impact"] in ("serious", "critical"):
            where = "; ".join(str(node["target"]) for node in violation["nodes"][:4])
            found.append(f"{name}: {violation['id']} ({violation['impact']}): {violation['help']}: {where}")
