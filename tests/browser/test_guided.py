"""Guided labelling and review by exception, by keyboard alone."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.grids import SECONDS, archive_of, key, make_grid, saved
from tests.live import Browser, until

LOOKS = ["NGS"] * 640 + ["LYT"] * 80
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def grid(maria: Browser) -> str:
    """The path of the grid of a project of two looks, one far more frequent."""
    return make_grid(maria, archive_of(LOOKS), ["NGS", "LYT"], len(LOOKS))


def count(page: Page, pattern: str) -> None:
    """Wait until the panel counts so many neutrophils accepted unseen."""
    number = page.locator('[data-class-code="NGS"] .class-unseen')
    expect(number).to_have_text(re.compile(pattern), timeout=SECONDS * 1000)


def test_from_no_label_to_a_reviewed_class_by_keys_alone(page: Page, grid: str, look: Look) -> None:
    page.goto(grid)
    until(lambda: served(page, "look alike"), SECONDS, "no group is served")
    name_two_groups(page)
    label_what_teaches_most(page, look)
    find_how_far_predictions_are_right(page, look)
    accept_all_but_exceptions(page)
    count(page, r"^\+\d\d\d ")
    page.keyboard.press("Control+z")
    expect(page.get_by_text("Took back the labels of 400 cells.")).to_be_visible()
    count(page, r"^$")
    page.keyboard.press("Control+y")
    count(page, r"^\+\d\d\d ")
    page.keyboard.press("Control+z")
    count(page, r"^$")
    accept_a_class_to_its_end(page)


def served(page: Page, words: str) -> bool:
    """Ask for the next cells; a worker ranks them a moment after the cells or their scores have come."""
    page.keyboard.press("Shift+N")
    page.wait_for_timeout(500)
    note = page.locator("#batch-note")
    return note.is_visible() and words in note.inner_text()


def name_two_groups(page: Page) -> None:
    named: set[str] = set()
    while len(named) < 2:
        if named:
            page.keyboard.press("Shift+N")
        expect(page.locator("#batch-note")).to_contain_text("look alike")
        expect(page.locator('.tile:not([data-class=""])')).to_have_count(0)
        expect(page.locator(".tile").first).to_be_focused()
        letter = key(page.locator(".tile").first)
        page.keyboard.press("Control+a")
        page.keyboard.press(letter)
        expect(page.locator("#batch-note")).to_contain_text("All labelled: ⇧ N brings the next ones.")
        named.add(letter)
    saved(page)
    expect(page.locator("#grid")).to_have_attribute("data-version", re.compile(r"\d"), timeout=SECONDS * 1000)


def label_what_teaches_most(page: Page, look: Look) -> None:
    until(lambda: served(page, "teach the classifier most"), SECONDS, "no single cells are served")
    look(page, "guided")
    why = page.locator(".tile").first.get_attribute("data-why")
    assert why
    page.keyboard.press("Space")
    expect(page.locator("#zoom-why")).to_have_text(why)
    page.keyboard.press("Space")


def find_how_far_predictions_are_right(page: Page, look: Look) -> None:
    page.keyboard.press("Shift+R")
    expect(page.locator("#grid")).to_have_attribute("data-review", "NGS")
    look(page, "review")
    page.keyboard.press("Shift+J")  # right: on to the second page, then two pages further
    expect(page.locator("#grid")).to_have_attribute("data-offset", "200")
    page.keyboard.press("Shift+J")
    expect(page.locator("#batch-note")).to_contain_text("Right up to 400")
    page.keyboard.press("Shift+F")
    expect(page.locator("#batch-note")).to_contain_text("The first 400 of")
    page.keyboard.press("Shift+U")
    expect(page.get_by_text("Accepting 400 cells as NGS.")).to_be_visible()
    count(page, r"^\+\d\d\d ")
    expect(page.locator("#grid")).to_have_attribute("data-offset", "400")


def accept_all_but_exceptions(page: Page) -> None:
    shown = page.locator(".tile").count()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+A")
    saved(page)
    unlabelled = page.locator('.tile[data-class=""]')
    expect(unlabelled).to_have_count(2)
    page.keyboard.press("Control+z")
    expect(unlabelled).to_have_count(shown)


def accept_a_class_to_its_end(page: Page) -> None:
    page.keyboard.press("Shift+R")
    expect(page.locator("#grid")).to_have_attribute("data-review", "LYT")
    shown = page.locator(".tile").count()
    page.keyboard.press("Shift+J")
    expect(page.get_by_text("Right to the end: ⇧ U accepts them all.")).to_be_visible()
    page.keyboard.press("Shift+U")
    expect(page.locator('.tile[data-source="accepted"]')).to_have_count(shown, timeout=SECONDS * 1000)


def test_similar_cells_are_selected_up_to_one_and_labelled_by_keys(page: Page, grid: str, look: Look) -> None:
    page.goto(f"{grid}?order=newest&labelled=no")
    page.locator(".tile").nth(2).focus()
    page.keyboard.press("ArrowRight")
    cell = page.locator(".tile:focus").get_attribute("data-cell-id") or ""
    letter = key(page.locator(".tile:focus"))
    page.keyboard.press("Shift+S")
    expect(page.locator("#grid")).to_have_attribute("data-reference", cell)
    expect(page.locator("#reference")).to_be_visible()
    look(page, "similar")
    assert page.locator(".tile").first.get_attribute("data-cell-id") == cell
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+E")
    expect(page.locator('.tile[aria-selected="true"]')).to_have_count(5)
    page.keyboard.press(letter)
    saved(page)
    expect(page.locator(f'.tile[data-class="{"NGS" if letter == "n" else "LYT"}"]')).to_have_count(5)
    assert "labelled=no" in page.url


def test_a_contradicted_label_is_kept_or_changed_by_one_key(page: Page, grid: str, look: Look) -> None:
    page.goto(f"{grid}?order=newest&labelled=yes&class=NGS")
    wrong = page.locator(".tile").first
    wrong.focus()
    page.keyboard.press("l")
    saved(page)
    number = wrong.get_attribute("data-cell-id")
    cell = page.locator(f'.tile[data-cell-id="{number}"]')

    def found() -> bool:
        page.keyboard.press("Shift+C")
        page.wait_for_timeout(500)
        return cell.is_visible() and cell.get_attribute("data-why") == "others say NGS"

    until(found, SECONDS, "the wrong label is not found")
    look(page, "conflicts")
    cell.focus()
    page.keyboard.press("Shift+K")
    expect(page.get_by_text("Kept the label of 1 cell.")).to_be_visible()
    cell.focus()
    page.keyboard.press("n")
    expect(cell).to_have_attribute("data-class", "NGS")
    saved(page)


def test_an_exception_stays_one_when_all_up_to_a_place_is_accepted(page: Page, grid: str) -> None:
    page.goto(f"{grid}?order=confident&predicted=NGS")
    page.keyboard.press("Shift+R")
    expect(page.locator("#grid")).to_have_attribute("data-review", "NGS")
    exception = page.locator('.tile[data-class=""]').first
    number = exception.get_attribute("data-cell-id")
    exception.click()
    page.keyboard.press("Shift+A")
    expect(page.locator("#grid")).to_have_attribute("data-offset", "200")
    page.keyboard.press("Shift+J")
    expect(page.locator("#batch-note")).to_contain_text("Right up to 400")
    page.keyboard.press("Shift+U")
    count(page, r"^\+\d\d\d ")
    (state,) = page.request.get(f"{grid}/state?ids={number}").json()["cells"]
    assert state["class"] == ""
