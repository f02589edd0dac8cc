"""Projects whose grid a test labels, and how it does."""

import io
import zipfile
from collections.abc import Sequence
from contextlib import closing

from playwright.sync_api import Locator, Page, expect

from tests.factories import cell_image, numbers
from tests.live import Browser, until

SECONDS = 120


def archive_of(looks: Sequence[str]) -> bytes:
    """A ZIP of cells; their file names begin with their look."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number, look in enumerate(looks):
            file.writestr(f"{look}-{number}.png", cell_image(look, number))
    return buffer.getvalue()


def make_grid(manager: Browser, archive: bytes, looks: Sequence[str], cells: int) -> str:
    """Make a project with a class a look, and wait until its cells are embedded; returns the path of its grid."""
    with closing(manager.rest()) as rest:
        classes = [{"code": look, "name": look, "key": look[0].lower()} for look in looks]
        made = rest.post("projects", json={"name": f"Lab {next(numbers)}", "classes": classes}).raise_for_status()
        project = made.json()["id"]
        scanner = rest.post(f"projects/{project}/scanners", json={"name": "S"}).raise_for_status().json()["id"]
        slide = {"accession": "A", "scanner_id": scanner}
        path = f"slides/{rest.post(f'projects/{project}/slides', json=slide).raise_for_status().json()['id']}"
        rest.post(f"{path}/images", files={"files": ("cells.zip", archive)}).raise_for_status()
        until(lambda: rest.get(path).json()["counts"]["embedded"] == cells, SECONDS, "the cells are not embedded")
    return f"/projects/{project}/cells"


def key(tile: Locator) -> str:
    """The right class key for a cell: the first letter of its file name."""
    return (tile.get_attribute("data-name") or "")[0].lower()


def label_by_keys(page: Page, count: int) -> None:
    """Label from the focused cell on; the keyboard goes on by itself."""
    page.keyboard.press("ArrowRight")  # from anywhere on the page into the grid
    for _ in range(count):
        page.keyboard.press(key(page.locator(".tile:focus")))


def labelled(page: Page) -> Locator:
    """The tiles that carry a label."""
    return page.locator('.tile:not([data-class=""])')


def saved(page: Page) -> None:
    expect(page.locator("#save-state")).to_have_text("Saved", timeout=SECONDS * 1000)


def give_key(page: Page, command: str, key: str) -> None:
    """Change a key in the sheet, by keys alone."""
    row = page.locator(f'[data-edit="{command}"]')
    page.keyboard.press("?")
    while not row.evaluate("each => each === document.activeElement"):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#keys-note")).to_have_text("Press the new key. Esc leaves it as it is.")
    page.keyboard.press(key)
