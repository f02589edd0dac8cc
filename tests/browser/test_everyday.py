"""A long day in the grid: undoing anything, own keys, looking closely, going on where one stopped."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.grids import archive_of, label_by_keys, make_grid, saved
from tests.browsing import share_session
from tests.live import Browser

LOOKS = ("NGS", "LYT")
CELLS = 430  # two full pages of 200 and a third one
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def archive() -> bytes:
    return archive_of([LOOKS[number % 2] for number in range(CELLS)])


@pytest.fixture
def grid(maria: Browser, archive: bytes) -> str:
    """The path of the grid of a fresh project whose cells are embedded."""
    return make_grid(maria, archive, LOOKS, CELLS)


@pytest.fixture
def page(page: Page, maria: Browser) -> Page:
    """The tab of the first manager."""
    share_session(page, maria)
    return page


def labelled(page: Page) -> Locator:
    return page.locator('.tile:not([data-class=""])')


def carries(tile: Locator, code: str, source: str = "", by: str = "") -> None:
    for name, value in (("data-class", code), ("data-source", source), ("data-by", by)):
        expect(tile).to_have_attribute(name, value)


def test_undo_gives_back_what_somebody_else_had_accepted(page: Page, other: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    label_by_keys(page, 4)
    expect(page.locator('.tile[data-predicted=""]')).to_have_count(0, timeout=60_000)
    other.goto(f"{grid}?order=newest")
    tile, theirs = page.locator(".tile").nth(7), other.locator(".tile").nth(7)
    theirs.focus()
    other.keyboard.press("Enter")
    saved(other)
    expect(tile).to_have_attribute("data-by", "Tom")
    code = tile.get_attribute("data-class") or ""
    tile.focus()
    page.keyboard.press("n" if code == "LYT" else "l")
    expect(theirs).to_have_attribute("data-by", "Maria")
    page.keyboard.press("Control+z")
    carries(tile, code, "accepted", "Tom")
    carries(theirs, code, "accepted", "Tom")
    saved(page)
    page.reload()
    carries(tile, code, "accepted", "Tom")


def label_three_and_one_of_them_again(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    page.locator(".tile").first.focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("n")  # the first three
    page.locator(".tile").first.focus()
    page.keyboard.press("l")  # the first again
    saved(page)


def test_any_recent_action_is_taken_back_after_a_reload(page: Page, grid: str, look: Look) -> None:
    label_three_and_one_of_them_again(page, grid)
    page.reload()
    page.keyboard.press("Shift+H")
    rows = page.locator("#recent-list li")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text(re.compile(r"3 cells: NGS\s+labelled (now|\d+ seconds? ago)"))
    look(page, "recent")
    expect(rows.nth(0).get_by_role("button")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(rows.nth(1)).to_contain_text("taken back")
    expect(rows.nth(1).get_by_role("button", name="Do again")).to_be_focused()
    expect(page.get_by_text("1 cell not changed: labelled again since")).to_be_visible()
    page.keyboard.press("Escape")
    expect(labelled(page)).to_have_count(1)
    carries(page.locator(".tile").first, "LYT", "label", "Maria")
    page.keyboard.press("Shift+H")
    expect(rows.nth(0).get_by_role("button")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(rows.nth(1).get_by_role("button", name="Undo")).to_be_visible()
    page.keyboard.press("Escape")
    expect(labelled(page)).to_have_count(3)
