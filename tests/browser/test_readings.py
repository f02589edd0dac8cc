"""The audit, reading blind and settling, by keyboard alone."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from tests.browser.conftest import WIDE
from tests.browser.grids import SECONDS, archive_of, key, label_by_keys, make_grid, saved
from tests.browsing import share_session
from tests.live import Browser, Installation, until

LOOKS = ["NGS"] * 40 + ["LYT"] * 40
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def grid(maria: Browser) -> str:
    """The path of the grid of a project of two looks, of which much is audited and all labels are read again."""
    path = make_grid(maria, archive_of(LOOKS), ["NGS", "LYT"], len(LOOKS))
    form = {"audit_percent": "30", "second_percent": "100", "readers": "2"}
    maria.submit(path.replace("cells", "quality"), form)
    return path


@pytest.fixture
def grace(chromium: Chromium, running: Installation, maria: Browser, grid: str) -> Iterator[Page]:
    """The tab of Grace, a reviewer and member of the project."""
    context = chromium.new_context(base_url=running.url, viewport=WIDE)  # type: ignore[arg-type]
    settings = grid.replace("cells", "settings")
    with closing(Browser(running.url)) as person:
        person.join(maria, "Grace", "reviewer")
        text = maria.get(settings).text
        candidate = re.search(r'value="(\d+)">Grace', text)
        assert candidate
        maria.submit(settings, {"user_id": candidate.group(1)}, grid.replace("cells", "members"))
        page = context.new_page()
        share_session(page, person)
        yield page
    context.close()


def test_audit_blind_reading_and_settling_by_keys_alone(page: Page, grace: Page, grid: str, look: Look) -> None:
    label_for_the_audit(page, grid, look)
    read_blind_but_one_right(grace, grid, look)
    grace.keyboard.press("Shift+V")
    expect(grace.locator("#batch-note")).to_contain_text("not read alike")
    expect(grace.locator(".tile")).to_have_count(1)
    grace.keyboard.press("Shift+K")
    saved(grace)
    grace.goto(grid.replace("cells", "quality"))
    expect(grace.get_by_text("Grace · Maria")).to_be_visible()
    look(grace, "quality")


def label_for_the_audit(page: Page, grid: str, look: Look) -> None:
    for order in ("newest", "random"):
        page.goto(f"{grid}?order={order}")
        label_by_keys(page, 8)
    saved(page)
    until(lambda: served(page, "Shift+Q", "drawn at random"), SECONDS, "nothing is served for the audit")
    look(page, "audit-batch")
    expect(page.locator('.tile[data-why="prediction hidden"]').first).to_have_attribute("data-predicted", "")
    answer(page)
    page.goto(grid.replace("cells", "quality"))
    expect(page.get_by_text("labelled with their prediction hidden")).to_be_visible()
    page.get_by_role("button", name="Read blind").or_(page.get_by_role("link", name="Read blind")).click()
    expect(page.get_by_text("Nothing waits for you here.")).to_be_visible()
    page.goto(f"{grid}#accept-page")  # no link labels anything
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator('.tile[data-source="accepted"]')).to_have_count(0)


def read_blind_but_one_right(grace: Page, grid: str, look: Look) -> None:
    grace.goto(f"{grid}?labelled=yes")
    expect(grace.locator(".tile").first).to_be_visible()
    expect(grace.locator('.tile:not([data-class=""])')).to_have_count(0)
    assert served(grace, "Shift+B", "without their label")
    look(grace, "read-blind")
    first = grace.locator(".tile").first
    wrong = {"n": "l", "l": "n"}[key(first)]
    first.focus()
    grace.keyboard.press(wrong)
    saved(grace)
    grace.keyboard.press("Control+z")
    saved(grace)
    expect(first).to_have_attribute("data-class", "")
    first.focus()
    grace.keyboard.press(wrong)
    answer(grace, skip=1)


def served(page: Page, keys: str, words: str) -> bool:
    """Ask for a batch by its key."""
    page.keyboard.press(keys)
    page.wait_for_timeout(700)
    note = page.locator("#batch-note")
    return note.is_visible() and words in note.inner_text()


def answer(page: Page, skip: int = 0) -> None:
    """Label the cells of a batch rightly, but for the first ones."""
    tiles = page.locator(".tile")
    tiles.nth(skip).focus()
    for number in range(skip, tiles.count()):
        page.keyboard.press(key(tiles.nth(number)))
    expect(page.locator("#batch-note")).to_contain_text("All labelled")
    saved(page)
