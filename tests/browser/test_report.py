"""The review of a slide: by keys and by dragging, refused, signed, amended; the old version stays readable."""

import re
from collections.abc import Callable
from contextlib import closing

import pytest
from playwright.sync_api import Page, expect

from tests.browser.grids import SECONDS, archive_of, make_grid
from tests.live import Browser, until

LOOKS = ["NGS"] * 24 + ["LYT"] * 14 + ["MON"] * 6
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def report(maria: Browser) -> str:
    """The path of the report of a slide; a third of its cells were labelled, which made a first classifier."""
    project = make_grid(maria, archive_of(LOOKS), ["NGS", "LYT", "MON"], len(LOOKS)).removesuffix("/cells")
    with closing(maria.rest()) as rest:
        slide = rest.get(f"{project}/slides").json()["items"][0]["id"]
        cells = rest.get(f"slides/{slide}/cells?limit=100").json()["items"]
        items = [{"cell_id": cell["id"], "class": cell["name"][:3]} for cell in cells[::3]]
        rest.post(f"{project}/annotations", json={"items": items}).raise_for_status()
        path = f"slides/{slide}"
        rest.post(f"{path}/complete").raise_for_status()

        def ready() -> bool:
            found = rest.get(path).json()
            return found["state"] == "needs_review" and found["differential"] is not None

        until(ready, SECONDS, "the slide is not for review")
    return f"/slides/{slide}/report"


def test_a_slide_is_reviewed_signed_and_amended(page: Page, report: str, look: Look) -> None:
    page.goto(report)
    expect(page.get_by_text("Preliminary", exact=True)).to_be_visible()
    look(page, "report")
    by_keys(page)
    by_dragging(page)
    sign(page)
    look(page, "report-signed")
    page.get_by_text("Amend", exact=True).click()
    page.get_by_label("Why it has to be changed").fill("A cell was read again")
    page.get_by_role("button", name="Open version 2").click()
    expect(page.get_by_role("button", name="Sign version 2")).to_be_visible()
    page.get_by_role("link", name="Version 1").click()
    expect(page).to_have_url(re.compile(r"/reports/\d+$"))
    expect(page.get_by_text("This is version 1.")).to_be_visible()
    expect(page.locator(".cell[role]")).to_have_count(0)
    page.get_by_role("link", name="There is a newer one.").click()
    expect(page.get_by_role("button", name="Sign version 2")).to_be_visible()


def count(page: Page, code: str) -> int:
    row = page.locator(".report tbody tr").filter(has=page.locator(f'[data-class-code="{code}"]'))
    return int(row.locator("td").first.inner_text())


def saved(page: Page) -> None:
    expect(page.locator("#save-state")).to_have_text("Saved", timeout=SECONDS * 1000)


def by_keys(page: Page) -> None:
    before = count(page, "MON")
    page.keyboard.press("ArrowRight")
    first = page.locator(".cell:focus")
    cell = first.get_attribute("data-cell-id")
    code = first.get_attribute("data-class-code")
    page.keyboard.press("m" if code != "MON" else "l")
    expect(
        page.locator(f'.gallery[data-gallery="{"MON" if code != "MON" else "LYT"}"] [data-cell-id="{cell}"]')
    ).to_be_visible()
    saved(page)
    assert count(page, "MON") != before
    page.keyboard.press("Control+z")
    expect(page.locator(f'[data-cell-id="{cell}"]')).to_have_attribute("data-class-code", code or "")
    saved(page)
    assert count(page, "MON") == before


def by_dragging(page: Page) -> None:
    dragged = page.locator('.gallery[data-gallery="NGS"] .cell').last
    cell = dragged.get_attribute("data-cell-id")
    before = count(page, "LYT")
    dragged.drag_to(page.locator('.class-bar [data-class-code="LYT"]'))
    expect(page.locator(f'.gallery[data-gallery="LYT"] [data-cell-id="{cell}"]')).to_be_visible()
    saved(page)
    assert count(page, "LYT") == before + 1


def sign(page: Page) -> None:
    page.get_by_role("button", name="Sign version 1").click()
    expect(page.get_by_text("Say why it may be signed all the same.")).to_be_visible()
    page.get_by_label("Why it may be signed all the same").fill("Compared with the microscope")
    page.get_by_role("button", name="Sign version 1").click()
    expect(page.locator(".signatures")).to_contain_text("Maria")
    expect(page.locator(".cell[role]")).to_have_count(0)
