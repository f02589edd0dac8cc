"""The map: seen, coloured, caught and labelled in the grid, by pointer and by keyboard alone."""

import re
from collections.abc import Callable
from io import BytesIO

import PIL.Image
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.grids import SECONDS, archive_of, give_key, make_grid, saved
from tests.live import Browser, until

LOOKS = ["NGS"] * 120 + ["LYT"] * 60
Look = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def project(maria: Browser) -> str:
    """The path of a project of two looks."""
    return make_grid(maria, archive_of(LOOKS), ["NGS", "LYT"], len(LOOKS)).removesuffix("/cells")


def open_map(page: Page, project: str) -> None:
    page.goto(f"{project}/map")
    button = page.get_by_role("button", name="Lay out the map")
    if button.is_visible():
        button.click()
    expect(page.locator("#map-count")).to_have_text("180 cells", timeout=SECONDS * 1000)


def codes_in(page: Page) -> list[str]:
    """The looks of the cells in the grid, by their file names."""
    return [(tile.get_attribute("data-name") or "").split("-")[0] for tile in page.locator(".tile").all()]


def legend(page: Page, code: str) -> Locator:
    return page.locator("#legend button").filter(has=page.get_by_text(code, exact=True)).first


def count_of(page: Page, code: str) -> Locator:
    return legend(page, code).locator(".legend-count")


def test_the_map_is_laid_out_and_says_what_is_missing_before(page: Page, project: str, look: Look) -> None:
    page.goto(f"{project}/map")
    expect(page.get_by_text("No map yet")).to_be_visible()
    look(page, "map-none")
    open_map(page, project)
    expect(count_of(page, "none")).to_have_text("180")
    look(page, "map-unlabelled")


def test_cells_are_found_on_the_map_by_pointer_and_labelled_in_the_grid(page: Page, project: str, look: Look) -> None:
    open_map(page, project)
    row = first_of(page, "LYT")
    at = place_of(page, row)
    page.mouse.move(at["x"], at["y"])
    expect(page.locator("#map-card")).to_contain_text("not labelled")
    expect(page.locator("#map-card img")).to_be_visible()
    lasso(page, group_of(page, "LYT"))
    expect(page.locator("#catch-count")).to_have_text("60 cells caught.")
    look(page, "map-caught")
    page.keyboard.press("Enter")  # the button has the keyboard
    expect(page.locator("#batch-note")).to_have_text("60 cells caught on the map, the middle first.")
    assert codes_in(page) == ["LYT"] * 60
    page.keyboard.press("Control+a")
    page.keyboard.press("l")
    saved(page)
    page.go_back()
    expect(count_of(page, "LYT")).to_have_text("60", timeout=SECONDS * 1000)


def test_the_same_by_keys_alone_coloured_by_prediction(page: Page, project: str, look: Look) -> None:
    open_map(page, project)
    expect(count_of(page, "LYT")).to_have_text("60", timeout=SECONDS * 1000)
    page.keyboard.press("Shift+O")
    expect(page.locator("#map-count")).to_have_text("120 of 180 cells")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#map-said")).to_contain_text("not labelled")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator('#cell [data-fact="name"]')).to_have_text(re.compile(r"NGS-\d+\.png"))
    look(page, "map-cell")
    page.keyboard.press("Escape")
    catch_and_let_go(page)
    page.keyboard.press("Shift+W")
    page.keyboard.press("Shift+G")
    expect(page.locator(".tile")).to_have_count(120)
    assert set(codes_in(page)) == {"NGS"}
    page.keyboard.press("Control+a")
    page.keyboard.press("n")
    saved(page)
    see_predictions(page, project, look)


def catch_and_let_go(page: Page) -> None:
    page.keyboard.press("Shift+M")
    expect(page.locator("#catch-count")).to_have_text("120 cells caught.")
    page.keyboard.press("Escape")
    expect(page.locator("#catch-bar")).to_be_hidden()


def see_predictions(page: Page, project: str, look: Look) -> None:
    open_map(page, project)
    page.keyboard.press("Shift+T")
    expect(page.get_by_role("button", name="Prediction", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(count_of(page, "NGS")).to_have_text("120", timeout=SECONDS * 1000)
    expect(count_of(page, "LYT")).to_have_text("60")
    look(page, "map-prediction")


def test_what_the_legend_leaves_out_is_not_caught(page: Page, project: str) -> None:
    open_map(page, project)
    legend(page, "NGS").click()
    expect(page.locator("#map-count")).to_have_text("60 of 180 cells")
    page.keyboard.press("0")
    page.keyboard.press("Shift+W")
    expect(page.locator("#catch-count")).to_have_text("60 cells caught.")
    page.get_by_role("button", name="Show all cells").click()
    page.keyboard.press("Shift+W")
    expect(page.locator("#catch-count")).to_have_text("180 cells caught.")


def test_the_picture_follows_the_view_and_the_scheme(page: Page, project: str, look: Look) -> None:
    open_map(page, project)
    whole = pixels(page)
    assert len(PIL.Image.open(BytesIO(whole)).convert("RGB").getcolors(1 << 20) or []) > 2
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    until(lambda: pixels(page) != whole, SECONDS, "nothing moved")
    page.keyboard.press("0")
    until(lambda: pixels(page) == whole, SECONDS, "the whole map is not the same again")
    page.locator("#theme-toggle").click()
    page.wait_for_timeout(500)
    look(page, "map-dark")
    give_key(page, "whole", "Shift+O")
    expect(page.locator("#keys-note")).to_have_text("⇧ O is taken: Only cells without a label.")
    page.keyboard.press("h")
    expect(page.locator("#keys-note")).to_have_text("Saved")
    look(page, "map-keys")
    page.keyboard.press("?")
    expect(page.locator('[data-command="whole"] kbd')).to_have_text("h")
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.wait_for_timeout(500)
    dark = pixels(page)
    page.keyboard.press("h")
    until(lambda: pixels(page) != dark, SECONDS, "the key that was given does nothing")


def test_without_webgl_the_page_says_so(page: Page, project: str, look: Look) -> None:
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(f"{project}/map")
    expect(page.get_by_text("This browser cannot draw the map")).to_be_visible()
    look(page, "map-no-webgl")


POSITIONS = """async ([project, map]) => {
  const { MapData } = await import('/static/js/map_data.js');
  const data = new MapData(`${project}/map/${map}`, [], []);
  await data.loadPoints();
  return Array.from(data.ids, (id, row) => [id, data.places[2 * row], data.places[2 * row + 1]]);
}"""


def positions(page: Page) -> dict[int, dict[str, float]]:
    """Where each cell is seen in the window when the whole map is shown."""
    project, number = re.sub(r"https?://[^/]+|/map$", "", page.url), page.locator("#map-page").get_attribute("data-map")
    box = page.locator("#map").bounding_box()
    assert box
    scale = min(box["width"], box["height"]) / 2 * 0.94
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    found = page.evaluate(POSITIONS, [project, number])
    return {cell: {"x": middle[0] + x * scale, "y": middle[1] - y * scale} for cell, x, y in found}


def looks_of(page: Page) -> dict[int, str]:
    project = re.sub(r"https?://[^/]+|/map$", "", page.url)
    ids = ",".join(map(str, positions(page)))
    cells = page.request.get(f"{project}/cells/state?ids={ids}").json()["cells"]
    return {cell["cell_id"]: cell["name"].split("-")[0] for cell in cells}


def group_of(page: Page, code: str) -> list[dict[str, float]]:
    looks, at = looks_of(page), positions(page)
    return [at[cell] for cell, look in looks.items() if look == code]


def first_of(page: Page, code: str) -> int:
    return next(cell for cell, look in looks_of(page).items() if look == code)


def place_of(page: Page, cell: int) -> dict[str, float]:
    return positions(page)[cell]


def lasso(page: Page, around: list[dict[str, float]]) -> None:
    """Draw around points with Shift and the mouse."""
    left, right = min(at["x"] for at in around) - 12, max(at["x"] for at in around) + 12
    top, bottom = min(at["y"] for at in around) - 12, max(at["y"] for at in around) + 12
    page.keyboard.down("Shift")
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")


def pixels(page: Page) -> bytes:
    """What is seen of the map, as a PNG."""
    page.mouse.move(5, 5)
    return page.locator("#map").screenshot()
