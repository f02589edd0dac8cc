"""A real browser on a real installation."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browsing import share_session, shown_secret
from tests.live import PASSWORD, Installation
from tests.live import Browser as Client
from tests.small_encoder import save_quick_encoder

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
SERIOUS = ("serious", "critical")
# A machine without a screen and without the internet: Chromium shall not look for either, and draws WebGL by itself.
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
WIDE = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one file: while Playwright is there its event loop runs in this thread, and no other can."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A fresh installation with its embedded worker, for all files: each makes projects of its own.

    Its encoder is a quick one: what a page shows does not depend on how well cells are seen.
    """
    folder = tmp_path_factory.mktemp("browser")
    encoder = save_quick_encoder(folder / "quick.safetensors")
    installation = Installation(folder / "data", more={"FIFTYCELLS_ENCODER": str(encoder)}).start()
    yield installation
    installation.stop()


@pytest.fixture(scope="session")
def maria(running: Installation) -> Iterator[Client]:
    """The first manager, signed in."""
    with closing(running.browser()) as browser:
        yield browser


@pytest.fixture(scope="session")
def tom(running: Installation, maria: Client) -> Iterator[Client]:
    """A second person who sees all projects."""
    link = shown_secret(maria.submit("/accounts", {"role": "manager"}, "/accounts/invitations"))  # type: ignore[arg-type]
    with closing(Client(running.url)) as browser:
        form = {"name": "Tom", "email": "tom@lab.example", "password": PASSWORD, "repeated": PASSWORD}
        browser.submit(link.removeprefix(running.url), form)
        yield browser


@pytest.fixture
def context(chromium: Browser, running: Installation) -> Iterator[BrowserContext]:
    context = chromium.new_context(base_url=running.url, viewport=WIDE, accept_downloads=True)  # type: ignore[arg-type]
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Page]:
    """A tab of nobody; an error in a script or a refusal by the security policy fails the test."""
    page = context.new_page()
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # Without an address it is axe, which tries inline styles while it measures contrasts.
        if "Security Policy" in message.text and message.location["url"]:
            problems.append(message.text)

    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", note)
    yield page
    assert problems == []


@pytest.fixture
def page(tab: Page, maria: Client) -> Page:
    """The tab of the first manager."""
    share_session(tab, maria)
    return tab


@pytest.fixture
def other(context: BrowserContext, running: Installation, tom: Client) -> Iterator[Page]:
    """A tab of the second person, in a browser of their own."""
    assert context.browser
    with context.browser.new_context(base_url=running.url) as theirs:
        tab = theirs.new_page()
        share_session(tab, tom)
        yield tab


@pytest.fixture
def look() -> Callable[[Page, str], None]:
    """Check a page for serious accessibility violations, and keep a screenshot where FIFTYCELLS_SCREENSHOTS says."""
    folder = os.environ.get("FIFTYCELLS_SCREENSHOTS")

    def check(page: Page, name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png")
        page.evaluate(AXE)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [
            (rule["id"], rule["help"], [node["target"] for node in rule["nodes"]][:3])
            for rule in found
            if rule["impact"] in SERIOUS
        ]
        assert serious == [], f"{name}: {serious}"

    return check
