"""The grid under the hands of several people, by keyboard alone, and while the server goes away."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.grids import SECONDS, archive_of, key, label_by_keys, labelled, make_grid, saved
from tests.browsing import share_session
from tests.live import Browser, Installation

LOOKS = ("NGS", "LYT")
CELLS = 230  # a full page of 200 and a second one


@pytest.fixture(scope="module")
def archive() -> bytes:
    return archive_of([LOOKS[number % 2] for number in range(CELLS)])


@pytest.fixture
def grid(maria: Browser, archive: bytes) -> str:
    """The path of the grid of a fresh project whose cells are embedded."""
    return make_grid(maria, archive, LOOKS, CELLS)


def accepted(page: Page) -> Locator:
    return page.locator('.tile[data-source="accepted"]')


def predicted(page: Page) -> None:
    """Wait until a classifier has scored all cells of the page."""
    expect(page.locator('.tile[data-predicted=""]')).to_have_count(0, timeout=SECONDS * 1000)


def test_the_keyboard_alone_labels_and_accepts(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    label_by_keys(page, 4)
    predicted(page)
    page.keyboard.press("Shift+A")
    expect(labelled(page)).to_have_count(200)
    expect(accepted(page)).to_have_count(196)
    assert page.locator('.state-line [data-command="accept-page"]').is_disabled()


def test_undo_goes_back_over_pages_and_reloads(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    label_by_keys(page, 4)
    predicted(page)
    page.keyboard.press("Shift+A")
    page.keyboard.press("PageDown")
    expect(page.locator(".tile")).to_have_count(CELLS - 200)
    label_by_keys(page, 1)
    saved(page)

    page.reload()
    expect(labelled(page)).to_have_count(1)
    page.keyboard.press("Control+z")
    expect(labelled(page)).to_have_count(0)
    page.keyboard.press("Control+z")
    expect(page.get_by_text("Took back the labels of 196 cells. They are on another page.")).to_be_visible()
    page.keyboard.press("PageUp")
    expect(labelled(page)).to_have_count(4)
    page.keyboard.press("Control+y")
    expect(accepted(page)).to_have_count(196)
    saved(page)
    page.reload()
    expect(accepted(page)).to_have_count(196)
    for _ in range(5):
        page.keyboard.press("Control+z")
    expect(labelled(page)).to_have_count(0)
    saved(page)


def test_two_people_see_each_others_labels_and_neither_undoes_the_others(page: Page, other: Page, grid: str) -> None:
    for tab in (page, other):
        tab.goto(f"{grid}?order=newest")
        expect(tab.locator("#live-state")).to_have_text("")
    cell = f'[data-cell-id="{page.locator(".tile").first.get_attribute("data-cell-id")}"]'
    mine, theirs = page.locator(cell), other.locator(cell)
    mine.hover()
    page.keyboard.press("n")
    expect(theirs).to_have_attribute("data-class", "NGS")
    expect(theirs).to_have_attribute("data-by", "Maria")
    expect(other.locator('[data-class-code="NGS"] .class-count b')).to_have_text("1")

    theirs.hover()
    other.keyboard.press("l")
    expect(mine).to_have_attribute("data-class", "LYT")
    page.keyboard.press("Control+z")
    expect(page.get_by_text("1 cell not changed: labelled meanwhile by Tom.")).to_be_visible()
    expect(mine).to_have_attribute("data-class", "LYT")
    expect(theirs).to_have_attribute("data-class", "LYT")


def test_labels_saved_a_moment_before_a_page_is_opened_count_once(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    counts = page.locator(".class-count b")
    before = sum(map(int, counts.all_inner_texts()))
    label_by_keys(page, 4)
    saved(page)
    page.goto(f"{grid}?order=random&labelled=no")  # none of them is on this page
    page.wait_for_timeout(1500)  # the stream sends them again at its beginning
    assert sum(map(int, counts.all_inner_texts())) == before + 4
    page.goto(f"{grid}?order=newest")
    for _ in range(4):
        page.keyboard.press("Control+z")
    saved(page)


def test_the_order_follows_and_what_is_touched_stays(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=novel")  # two looks so different leave no cell uncertain
    label_by_keys(page, 6)
    expect(page.locator("#grid")).to_have_attribute("data-labels", "6", timeout=SECONDS * 1000)
    page.reload()
    page.evaluate("document.activeElement.blur()")  # the keyboard is where it was; here the pointer alone touches
    cell = page.locator(f'[data-cell-id="{page.locator(".tile").nth(20).get_attribute("data-cell-id")}"]')
    cell.hover()
    before, place = order(page), cell.bounding_box()
    page.keyboard.press(key(cell))
    expect(page.locator("#grid")).to_have_attribute("data-labels", "7", timeout=SECONDS * 1000)

    after = order(page)
    touched = before.index(cell.get_attribute("data-cell-id") or "") + 1
    assert cell.bounding_box() == place
    assert after[:touched] == before[:touched]
    assert after[touched:] != before[touched:]
    page.mouse.move(0, 0)
    page.reload()
    below = after[60:]  # the rows under the touched one stand as on a page opened afresh
    following = [found for found in order(page) if found in below]
    assert following == below[: len(following)]


def order(page: Page) -> list[str]:
    """The ids of the cells as they stand on the page."""
    ids: list[str] = page.evaluate("[...document.querySelectorAll('.tile')].map(tile => tile.dataset.cellId)")
    return ids


def test_labels_wait_for_a_server_that_is_away(page: Page, grid: str, running: Installation) -> None:
    page.goto(f"{grid}?order=newest")
    expect(page.locator("#live-state")).to_have_text("")
    label_by_keys(page, 1)
    saved(page)
    running.stop()
    label_by_keys(page, 3)
    expect(labelled(page)).to_have_count(4)
    expect(page.locator("#save-state")).to_have_text(re.compile(r"Not saved, trying again in \d+ s: no connection"))
    expect(page.locator("#live-state")).to_contain_text("Live updates paused")
    last = page.locator(".tile img").last  # images are loaded when they come near
    last.scroll_into_view_if_needed()
    expect(last).to_have_js_property("complete", True)
    expect(last).to_have_js_property("naturalWidth", 0)
    running.start()
    saved(page)
    # The stream is tried again after ever longer waits, the longest of 15 seconds.
    expect(page.locator("#live-state")).to_have_text("", timeout=20_000)
    expect(last).not_to_have_js_property("naturalWidth", 0)
    page.reload()
    expect(labelled(page)).to_have_count(4)


def test_labels_wait_for_a_person_whose_session_has_ended(page: Page, grid: str, maria: Browser) -> None:
    page.goto(f"{grid}?order=newest")
    expect(page.locator("#live-state")).to_have_text("")
    page.context.clear_cookies()
    label_by_keys(page, 2)
    expect(page.locator("#save-state")).to_contain_text("Signed out, your labels are kept.")
    expect(page.get_by_role("link", name="Sign in in a new tab").first).to_be_visible()
    share_session(page, maria)
    page.evaluate("dispatchEvent(new Event('focus'))")  # back from the other tab
    saved(page)
    page.reload()
    expect(labelled(page)).to_have_count(2)
