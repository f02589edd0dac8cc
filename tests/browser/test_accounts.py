"""Links and tokens that are shown once, in a browser that loads the page again."""

import re

from playwright.sync_api import Page, expect

from tests.browsing import share_session
from tests.live import Browser


def test_loading_again_shows_no_secret_and_makes_no_second_one(page: Page, maria: Browser) -> None:
    share_session(page, maria)
    page.goto("/account")
    page.locator("#token_name").fill("scanner")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#secret")).to_have_value(re.compile("^fc_"))
    expect(page).to_have_url(re.compile("/account$"))
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)
    expect(page.locator("summary", has_text="Revoke")).to_have_count(1)

    page.goto("/accounts")
    page.get_by_role("button", name="Make a link").click()
    expect(page.locator("#secret")).to_have_value(re.compile("/welcome/"))
    expect(page).to_have_url(re.compile("/accounts$"))
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)
    expect(page.get_by_role("button", name="Withdraw")).to_have_count(1)
