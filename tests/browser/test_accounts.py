"""Links and tokens that are shown once, in a browser that loads the page again."""

import re

from playwright.sync_api import Page, expect


def test_loading_again_shows_no_secret_and_makes_no_second_one(page: Page) -> None:
    page.goto("/account")
    tokens = page.locator("summary", has_text="Revoke").count()
    page.locator("#token_name").fill("scanner")
    page.get_by_role("button", name="Create token").click()
    shown_once(page, "^fc_", "/account")
    expect(page.locator("summary", has_text="Revoke")).to_have_count(tokens + 1)

    page.goto("/accounts")
    links = page.get_by_role("button", name="Withdraw").count()
    page.get_by_role("button", name="Make a link").click()
    shown_once(page, "/welcome/", "/accounts")
    expect(page.get_by_role("button", name="Withdraw")).to_have_count(links + 1)


def shown_once(page: Page, secret: str, address: str) -> None:
    """See a secret on the page of this address, load it again, and see none."""
    expect(page.locator("#secret")).to_have_value(re.compile(secret))
    expect(page).to_have_url(re.compile(f"{address}$"))
    page.reload()
    expect(page.locator("#secret")).to_have_count(0)
