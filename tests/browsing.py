"""What a person does with a page, for tests that go through the forms."""

import html
import re
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response
from playwright.sync_api import Page

from tests.live import Browser


def csrf_of(page: Response) -> str:
    """Return the token in the forms of a page."""
    found = re.search(r'name="csrf_token" value="(\w*)"', page.text)
    assert found, "the page has no form"
    return found[1]


def submit(client: TestClient, page_path: str, action: str = "", **values: Any) -> Response:
    """Open a page, fill in its form and send it; redirects are not followed."""
    token = csrf_of(client.get(page_path))
    return client.post(action or page_path, data={"csrf_token": token, **values}, follow_redirects=False)


def shown_secret(page: Response) -> str:
    """Return the link or token a page shows once."""
    found = re.search(r'id="secret" type="text" value="([^"]+)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def error_of(page: Response, field: str) -> str:
    """Return the error beside a field of a form shown again."""
    found = re.search(rf'id="{field}-error">([^<]*)<', page.text)
    return html.unescape(found[1]) if found else ""


def share_session(page: Page, person: Browser) -> None:
    """Let a tab be signed in as somebody who is already."""
    cookie = {"name": "fiftycells", "value": person.cookies["fiftycells"], "url": str(person.base_url)}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
