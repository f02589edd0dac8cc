"""Decisions are timed in the browser, and the team page shows it, by keys alone."""

from collections.abc import Callable

from playwright.sync_api import Page, Request, expect

from tests.browser.grids import archive_of, label_by_keys, make_grid, saved
from tests.live import Browser

LOOKS = ["NGS", "LYT"] * 4


def test_two_labels_are_on_the_team_page_and_none_when_it_is_off(
    page: Page, maria: Browser, look: Callable[[Page, str], None]
) -> None:
    grid = make_grid(maria, archive_of(LOOKS), ["NGS", "LYT"], len(LOOKS))
    team, settings = grid.replace("/cells", "/team"), grid.replace("/cells", "/settings")
    page.goto(team)
    expect(page.get_by_text("Nothing was timed on these days")).to_be_visible()

    first, second = seconds_of_two_labels(page, grid)
    assert first is not None
    assert second is not None
    assert 1 < first < 60
    assert 0 < second < first
    page.goto(team)
    row = page.locator("tbody tr").first.locator("td")
    expect(row.nth(1)).to_have_text("2")
    expect(row.nth(5)).to_have_text(f"{second:.1f}")
    look(page, "team")

    page.goto(settings)
    page.get_by_label("Time every decision").uncheck()
    page.get_by_role("button", name="Save timing").click()
    assert seconds_of_two_labels(page, grid) == [None, None]
    page.goto(team)
    expect(page.get_by_text("nothing is measured or stored")).to_be_visible()
    look(page, "team-off")


def seconds_of_two_labels(page: Page, grid: str) -> list[float | None]:
    """Label two cells by key, a second after the page was shown; returns what the browser sent with them."""
    sent: list[float | None] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/annotations"):
            sent.append(request.post_data_json["items"][0].get("seconds"))

    page.on("request", note)
    page.goto(f"{grid}?order=newest&labelled=no")
    page.wait_for_timeout(1200)
    label_by_keys(page, 2)
    saved(page)
    page.remove_listener("request", note)
    return sent
