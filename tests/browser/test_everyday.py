"""A long day in the grid: undoing anything, own keys, looking closely, going on where one stopped."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from tests.browser.grids import archive_of, give_key, label_by_keys, labelled, make_grid, saved
from tests.browsing import share_session
from tests.live import Browser

LOOKS = ("NGS", "LYT")
CELLS = 410  # two full pages of 200 and a third one
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def archive() -> bytes:
    return archive_of([LOOKS[number % 2] for number in range(CELLS)])


@pytest.fixture(scope="module")
def grid(maria: Browser, archive: bytes) -> str:
    """The path of the grid of a project whose cells are embedded; nobody labels them."""
    return make_grid(maria, archive, LOOKS, CELLS)


@pytest.fixture
def own_grid(maria: Browser, archive: bytes) -> str:
    """The path of the grid of a fresh project, to be labelled."""
    return make_grid(maria, archive, LOOKS, CELLS)


def first_page(page: Page) -> None:
    expect(page.locator("#grid")).to_have_attribute("data-offset", "0")


def second_page(page: Page) -> None:
    expect(page.locator("#grid")).to_have_attribute("data-offset", "200")


def carries(tile: Locator, code: str, source: str = "", by: str = "") -> None:
    for name, value in (("data-class", code), ("data-source", source), ("data-by", by)):
        expect(tile).to_have_attribute(name, value)


def test_undo_gives_back_what_somebody_else_had_accepted(page: Page, other: Page, own_grid: str) -> None:
    page.goto(f"{own_grid}?order=newest")
    label_by_keys(page, 4)
    expect(page.locator('.tile[data-predicted=""]')).to_have_count(0, timeout=60_000)
    other.goto(f"{own_grid}?order=newest")
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


def test_any_recent_action_is_taken_back_after_a_reload(page: Page, own_grid: str, look: Look) -> None:
    label_three_and_one_of_them_again(page, own_grid)
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


def test_keys_are_changed_in_the_sheet_and_known_at_another_computer(
    page: Page, context: BrowserContext, maria: Browser, grid: str, look: Look
) -> None:
    page.goto(f"{grid}?order=newest")
    note = page.locator("#keys-note")
    give_key(page, "selectAll", "Shift+R")
    expect(note).to_contain_text("⇧ R is taken: Review the predictions of one class")
    page.keyboard.press("n")
    expect(note).to_have_text("n is the key of the class NGS.")
    page.keyboard.press("g")
    expect(note).to_have_text("Saved")
    look(page, "keys")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    expect(page.locator("#selected")).to_have_text("200 selected")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+a")
    expect(page.locator("#selected")).to_have_text("")
    assert context.browser
    with context.browser.new_context(base_url=page.url) as elsewhere:
        tab = elsewhere.new_page()
        share_session(tab, maria)
        tab.goto(grid)
        tab.keyboard.press("g")
        expect(tab.locator("#selected")).to_have_text("200 selected")
    page.keyboard.press("?")
    page.get_by_role("button", name="All keys as by default").press("Enter")
    expect(page.locator('[data-edit="selectAll"]')).to_have_text("Ctrl A")


def test_keys_are_as_by_default_again(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    give_key(page, "nextBatch", "Shift+W")
    expect(page.locator('[data-command="next-batch"] kbd')).to_have_text("⇧ W")
    assert page.evaluate("import('/static/js/keys.js').then(keys => keys.withKeys('⇧ N goes on.'))") == "⇧ W goes on."
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the button beside the key gives back the usual one
    expect(page.locator('[data-command="next-batch"] kbd')).to_have_text("⇧ N")
    page.locator('[data-edit="zoom"]').press("Enter")
    page.keyboard.press("Shift+W")
    page.get_by_role("button", name="All keys as by default").press("Enter")
    expect(page.locator('[data-edit="zoom"]')).to_have_text("Space")


def test_a_held_key_shows_the_cell_in_large_as_long_as_it_is_held(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    zoom = page.locator("#zoom")
    page.keyboard.press("ArrowRight")
    page.keyboard.down(" ")
    expect(zoom).to_be_visible()
    page.keyboard.down(" ")  # as a held key repeats itself
    page.wait_for_timeout(400)
    expect(zoom).to_be_visible()
    image = page.locator("#zoom-image")
    assert image.evaluate("each => each.naturalWidth") == 32  # the original, not the thumbnail
    expect(page.locator("#zoom-field")).to_be_hidden()  # no cell of this project was cut from a field
    page.keyboard.up(" ")
    expect(zoom).to_be_hidden()
    page.keyboard.press(" ")  # a short press leaves it open
    expect(zoom).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#zoom-title")).to_have_text(page.locator(".tile").nth(1).get_attribute("data-name") or "")
    page.keyboard.press(" ")
    expect(zoom).to_be_hidden()


def filter_of(locator: Locator) -> str:
    return str(locator.evaluate("each => getComputedStyle(each).filter"))


def test_brightness_and_contrast_change_the_view_alone(page: Page, grid: str, look: Look) -> None:
    page.goto(f"{grid}?order=newest")
    picture = page.locator(".tile img").first
    source = picture.get_attribute("src")
    assert filter_of(picture) == "none"
    for key in (".", ".", ":", ";", ";"):
        page.keyboard.press(key)
    assert filter_of(picture) == "brightness(1.2) contrast(0.9)"
    assert picture.get_attribute("src") == source
    expect(page.locator("#view-sign")).to_have_text("☀ 120 ◐ 90")
    page.reload()
    assert filter_of(picture) == "brightness(1.2) contrast(0.9)"
    page.locator("#view-menu summary").press("Enter")
    look(page, "view")
    page.locator('[name="brightness"]').press("ArrowRight")
    expect(page.locator("#view-sign")).to_have_text("☀ 130 ◐ 90")
    page.keyboard.press("Shift+X")
    assert filter_of(picture) == "none"
    expect(page.locator("#view-sign")).to_have_text("")


def test_the_next_page_is_there_when_the_server_is_not(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)
    page.context.set_offline(True)
    page.keyboard.press("PageDown")
    second_page(page)
    images = page.locator(".tile img")
    images.nth(10).scroll_into_view_if_needed()
    expect(images.nth(10)).to_have_js_property("complete", True)
    assert images.nth(10).evaluate("each => each.naturalWidth") > 0
    page.context.set_offline(False)


def test_nothing_waits_for_saving(page: Page, own_grid: str) -> None:
    page.goto(f"{own_grid}?order=newest")
    held: list[Route] = []
    # The server takes its time: the first request is held back, and those behind it wait.
    page.route("**/annotations", lambda route: route.continue_() if held else held.append(route))
    label_by_keys(page, 3)
    expect(labelled(page)).to_have_count(3)
    page.keyboard.press("Control+z")
    expect(labelled(page)).to_have_count(2)
    page.keyboard.press("PageDown")
    second_page(page)
    label_by_keys(page, 2)
    expect(labelled(page)).to_have_count(2)
    page.keyboard.press("PageUp")
    expect(labelled(page)).to_have_count(2)
    expect(page.locator("#save-state")).to_contain_text("Saving")
    held[0].continue_()
    saved(page)
    page.reload()
    expect(labelled(page)).to_have_count(2)


def test_the_grid_goes_on_where_one_stopped(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=newest&labelled=no")
    page.keyboard.press("PageDown")
    second_page(page)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    cell = page.locator(".tile:focus").get_attribute("data-cell-id") or ""
    address = page.url
    page.goto("/")
    page.goto(grid)
    expect(page.locator(".tile:focus")).to_have_attribute("data-cell-id", cell)
    assert page.url == address
    page.reload()
    expect(page.locator(".tile:focus")).to_have_attribute("data-cell-id", cell)
    page.locator(".clear-filters").click()
    first_page(page)
    page.evaluate(
        "place => localStorage.setItem(...place)", [f"fiftycells.place/Maria{grid}", '{"url":"/nowhere","cell":1}']
    )
    page.goto(grid)  # what was kept leads nowhere any more: the next visit begins anew
    page.goto(grid)
    first_page(page)
