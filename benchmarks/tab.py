"""A real Chromium with the grid open: from the key that labels a cell to the new scores on the screen."""

import shutil

from playwright.sync_api import Page, sync_playwright

from benchmarks.generated import KEYS, Generated
from benchmarks.people import SECONDS_PER_LABEL
from tests.browsing import share_session
from tests.live import Browser

SIZE = {"width": 1280, "height": 800}
MINUTE = 60_000  # milliseconds
# Settled in the frame after the version on the page has changed: the tiles are new by then.
WATCH = """() => {
  const grid = document.getElementById("grid");
  const { version } = grid.dataset;
  let pressed = 0;
  document.addEventListener("keydown", () => { pressed = performance.now(); }, { capture: true, once: true });
  window.scored = new Promise((resolve) => {
    const watcher = new MutationObserver(() => {
      if (grid.dataset.version === version) return;
      watcher.disconnect();
      requestAnimationFrame(() => resolve((performance.now() - pressed) / 1000));
    });
    watcher.observe(grid, { attributes: true, attributeFilter: ["data-version"] });
  });
}"""


def key_presses(person: Browser, generated: Generated, count: int) -> list[float]:
    """Label the most uncertain cells by keyboard, a second a cell and not before the last one's scores are there.

    Returns the seconds from each key press to its scores.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_context(base_url=str(person.base_url), viewport=SIZE).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(MINUTE)
        share_session(page, person)
        page.goto(f"/projects/{generated.project}/cells?order=uncertain&labelled=no")
        page.locator(".tile").first.wait_for()
        page.keyboard.press("ArrowRight")
        seconds = [_label(page, generated) for _ in range(count + 1)]
        chromium.close()
    return seconds[1:]


def _label(page: Page, generated: Generated) -> float:
    page.wait_for_timeout(1000 * SECONDS_PER_LABEL)
    cell = int(page.locator(".tile:focus").get_attribute("data-cell-id") or 0)
    page.evaluate(WATCH)
    page.keyboard.press(KEYS[generated.code(cell)])
    return float(page.evaluate("() => window.scored"))
