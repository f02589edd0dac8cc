"""Somebody who reads German: every page follows, scripts as well, and English comes back."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.grids import archive_of, key, make_grid
from tests.live import Browser

SECONDS = 30_000
LOOKS = ["NEUTROPHIL", "LYMPHOCYTE"]
ARCHIVE = archive_of(LOOKS * 8)


@pytest.fixture(scope="module")
def grid(maria: Browser) -> str:
    """Path of the grid of a project whose cells are embedded."""
    return make_grid(maria, ARCHIVE, LOOKS, len(LOOKS) * 8)


def read_in(page: Page, language: str, save: str) -> None:
    """Choose the language of the account page by its own name; `save` is what the button is called before."""
    page.goto("/account")
    page.locator("#language").select_option(label=language)
    page.get_by_role("button", name=save).click()


def test_a_person_reads_german_and_english_again(page: Page, grid: str, look: Callable[[Page, str], None]) -> None:
    read_in(page, "Deutsch", "Save language")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("heading", name="Passwort")).to_be_visible()
    look(page, "german-account")
    page.goto(grid.replace("/cells", "/slides"))
    expect(page.get_by_role("heading", name="Objektträger", exact=True)).to_be_visible()
    look(page, "german-slides")
    label_in_german(page, grid, look)

    read_in(page, "English", "Sprache speichern")
    page.goto(grid)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#range")).to_contain_text("16 of 16")


def label_in_german(page: Page, grid: str, look: Callable[[Page, str], None]) -> None:
    page.goto(grid)
    expect(page.locator("#range")).to_contain_text("16 von 16")
    expect(page.locator("#target-note")).to_have_text("0 von 2 Klassen haben 50 Annotationen")
    page.keyboard.press("Control+z")
    expect(page.locator(".toast")).to_contain_text("Nichts rückgängig zu machen.")
    first = page.locator(".tile").first
    first.focus()
    page.keyboard.press(key(first))
    expect(page.locator(".tile[data-class]:not([data-class=''])")).to_have_count(1)
    expect(page.locator("#save-state")).to_have_text("Gesichert", timeout=SECONDS)
    look(page, "german-grid")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Tasten")).to_be_visible()
    look(page, "german-keys")
