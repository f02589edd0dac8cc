"""The pages under a finger, upright and lying: nothing runs out of them, and cells are labelled without a keyboard."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, Page, expect

from tests.browser.grids import archive_of, make_grid, saved
from tests.browsing import share_session
from tests.live import Browser, Installation

Look = Callable[[Page, str], None]
LYING, UPRIGHT = {"width": 1024, "height": 768}, {"width": 768, "height": 1024}
LONG = 700  # milliseconds of a long touch
# What ends right of the page, but for what scrolls by itself.
OUTSIDE = """() => [...document.querySelectorAll("body *")].filter((each) => {
  const { width, right } = each.getBoundingClientRect();
  const scrolls = each.closest(".table-wrap, .project-nav, .visually-hidden, .skip-link, dialog:not([open])");
  return width > 0 && right > document.documentElement.clientWidth + 1 && !scrolls;
}).map((each) => each.outerHTML.slice(0, 80))"""
# Controls of the toolbars that lie on each other.
OVERLAPPING = """() => {
  const all = [...document.querySelectorAll(".toolbar :is(button, select, summary, a), .class-button")];
  const shown = all.filter((each) => each.checkVisibility()).map((each) => [each, each.getBoundingClientRect()]);
  return shown.flatMap(([a, p], i) => shown.slice(i + 1)
    .filter(([b, q]) => p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 1 && q.top < p.bottom - 1)
    .map(([b]) => `${a.textContent.trim()} | ${b.textContent.trim()}`));
}"""


@pytest.fixture(scope="module")
def grid(maria: Browser) -> str:
    return make_grid(maria, archive_of(["NGS", "LYT"] * 20), ["NGS", "LYT"], 40)


@pytest.fixture(params=[(LYING, "light"), (UPRIGHT, "dark")], ids=["lying", "upright"])
def tablet(request: pytest.FixtureRequest, chromium: Chromium, running: Installation, maria: Browser) -> Iterator[Page]:
    size, scheme = request.param
    options: dict[str, Any] = {"has_touch": True, "is_mobile": True, "viewport": size, "color_scheme": scheme}
    with chromium.new_context(base_url=running.url, **options) as context:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        share_session(page, maria)
        yield page
        assert problems == []


def touch_long(page: Page, tile: Locator) -> None:
    box = tile.bounding_box()
    assert box
    finger = page.context.new_cdp_session(page)
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    page.wait_for_timeout(LONG)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_nothing_runs_out_of_the_pages(tablet: Page, grid: str, look: Look) -> None:
    project = grid.removesuffix("/cells")
    pages = [f"{project}/{name}" for name in ("cells", "predictions", "slides", "classes", "settings", "quality")]
    for address in [*pages, "/account", "/accounts", "/jobs", "/"]:
        tablet.goto(address)
        assert tablet.evaluate(OUTSIDE) == [], address
        assert tablet.evaluate(OVERLAPPING) == [], address
        if address.endswith(("cells", "predictions")):
            look(tablet, f"tablet-{tablet.viewport_size['width']}-{address.rsplit('/', 1)[1]}")  # type: ignore[index]


def test_taps_select_and_class_buttons_label(tablet: Page, grid: str) -> None:
    tablet.goto(f"{grid}?order=newest")
    tiles = tablet.locator(".tile")
    tiles.nth(2).tap()
    tiles.nth(4).tap()
    expect(tablet.locator("#selected")).to_have_text("2 selected")
    tiles.nth(4).tap()
    tiles.nth(5).tap()
    tablet.locator('.class-button[data-class-code="LYT"]').tap()
    for place, code in ((2, "LYT"), (4, ""), (5, "LYT")):
        expect(tiles.nth(place)).to_have_attribute("data-class", code)
    tablet.locator('[data-command="undo"]').tap()
    expect(tiles.nth(2)).to_have_attribute("data-class", "")
    saved(tablet)


def test_a_long_touch_shows_the_cell_in_large(tablet: Page, grid: str) -> None:
    tablet.goto(f"{grid}?order=newest")
    tile, zoom = tablet.locator(".tile").nth(3), tablet.locator("#zoom")
    touch_long(tablet, tile)
    expect(zoom).to_be_visible()
    expect(tablet.locator("#zoom-title")).to_have_text(tile.get_attribute("data-name") or "")
    assert tablet.evaluate(OUTSIDE) == []
    zoom.get_by_role("button", name="Close").tap()
    expect(zoom).to_be_hidden()
    expect(tile).to_have_attribute("aria-selected", "false")
    tile.tap()
    expect(tile).to_have_attribute("aria-selected", "true")


def test_the_view_is_changed_by_touch(tablet: Page, grid: str) -> None:
    tablet.goto(f"{grid}?order=newest")
    tablet.locator("#view-menu summary").tap()
    assert tablet.evaluate(OUTSIDE) == []
    tablet.locator('[name="brightness"]').fill("150")
    expect(tablet.locator("#view-sign")).to_have_text("☀ 150 ◐ 100")
    tablet.locator('[data-command="neutral"]').tap()
    expect(tablet.locator("#view-sign")).to_have_text("")
    tablet.locator('[data-command="keys"]').tap()
    assert tablet.evaluate(OUTSIDE) == []
