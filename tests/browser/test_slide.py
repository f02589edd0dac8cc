"""A slide from its smear to the signed report: sent, boxes corrected, reviewed, signed, amended, printed."""

import io
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pypdfium2
from playwright.sync_api import Page, expect

from tests.browser.grids import SECONDS, saved
from tests.live import Browser, until
from tests.slides.test_fields import SIDE, field_of

CODES = ["NGS", "LYT", "EOS"]
COLUMNS = [*CODES, *CODES[::-1], *CODES]  # 18 cells, in the second row the other way round
LABELS = 12
Look = Callable[[Page, str], None]


def test_from_the_smear_to_the_printed_report(page: Page, maria: Browser, look: Look, tmp_path: Path) -> None:
    smear = tmp_path / "smear.png"
    smear.write_bytes(field_of(COLUMNS, 1))
    slide = new_slide(maria)
    page.goto(slide)
    send(page, smear)
    page.get_by_role("link", name="smear.png").click()
    remove_platelets(page)
    move_a_box(page)
    make_a_box_larger(page)
    label_cells(page)
    page.get_by_role("link", name="Slide 2026-0815").click()
    expect(page.locator("#progress")).to_contain_text("needs review", timeout=SECONDS * 1000)
    page.get_by_role("button", name="Report", exact=True).click()
    expect(page.get_by_role("heading", name="Differential")).to_be_visible(timeout=SECONDS * 1000)
    look(page, "slide-report")
    reclassify(page, "e")
    sign(page, 1)
    amend(page)
    reclassify(page, "l")
    sign(page, 2)
    text = " ".join(printed(page, tmp_path).split())
    for part in ("2026-0815", "NGS", "LYT", "EOS", "Maria", "A cell was read again", "Compared with the microscope"):
        assert part in text, part
    page.goto(slide.partition("/slides")[0] + "/reporting")
    look(page, "reporting")


def send(page: Page, field: Path) -> None:
    page.get_by_label("fields of the smear").check()
    page.locator("#choose-files").set_input_files(field)
    expect(page.locator(".upload")).to_contain_text("Done", timeout=SECONDS * 1000)


def new_slide(maria: Browser) -> str:
    with closing(maria.rest()) as rest:
        classes = [{"code": code, "name": code, "key": code[0].lower()} for code in CODES]
        project = rest.post("projects", json={"name": "Ward", "classes": classes}).raise_for_status().json()["id"]
        scanner = rest.post(f"projects/{project}/scanners", json={"name": "S"}).raise_for_status().json()["id"]
        slide = {"accession": "2026-0815", "scanner_id": scanner}
        slide_id = rest.post(f"projects/{project}/slides", json=slide).raise_for_status().json()["id"]
    return f"/projects/{project}/slides/{slide_id}"


def remove_platelets(page: Page) -> None:
    """Remove what is no white cell, take the last back, and remove it again."""
    count, found = page.locator("#box-count"), cells_of(page)
    wrong = [at for at, cell in enumerate(found) if not is_white_cell(cell)]
    assert wrong, "platelets of this smear were taken for cells"
    expect(count).to_have_text(f"{len(found)} cells")
    for removed, at in enumerate(wrong):
        remove_cell(page, at - removed)
    expect(count).to_have_text(f"{len(found) - len(wrong)} cells")
    page.keyboard.press("Control+z")
    expect(count).to_have_text(f"{len(found) - len(wrong) + 1} cells")
    remove_cell(page, wrong[-1] - len(wrong) + 1)
    expect(count).to_have_text("18 cells")


def remove_cell(page: Page, place: int) -> None:
    page.keyboard.press("Home")
    for _step in range(place):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")


def move_a_box(page: Page) -> None:
    """The last cell is cut out at another place, and stays the chosen one."""
    page.keyboard.press("End")
    page.keyboard.press("Shift+M")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator(".box.is-pending")).to_have_count(1)
    expect(page.locator(".box.is-pending")).to_have_count(0, timeout=SECONDS * 1000)
    expect(page.locator("#chosen-title")).to_have_text("Cell 18 of 18")


def make_a_box_larger(page: Page) -> None:
    """Around the same middle it is the same cell; taken back, it is as it was."""
    box = chosen_box(page)
    page.keyboard.press("Shift+M")
    for key in ("ArrowLeft", "ArrowUp", *["Shift+ArrowRight", "Shift+ArrowDown"] * 2):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    until(lambda: chosen_box(page) != box, SECONDS, "the box is not larger")
    expect(page.locator(".box.is-pending")).to_have_count(0, timeout=SECONDS * 1000)
    page.keyboard.press("Control+z")
    until(lambda: chosen_box(page) == box, SECONDS, "the box is not as it was")
    expect(page.locator("#box-count")).to_have_text("18 cells")


def cells_of(page: Page) -> list[dict[str, Any]]:
    field = page.url.rsplit("/", 1)[1].partition("?")[0]
    return page.request.get(f"/fields/{field}/cells").json()["cells"]  # type: ignore[no-any-return]


def is_white_cell(cell: dict[str, Any]) -> bool:
    """A person sees it; here white cells lie in the middle of their square."""
    return all(abs((cell["box"][at] + cell["box"][at + 2]) / 2 % SIDE - SIDE / 2) < SIDE / 6 for at in (0, 1))


def chosen_box(page: Page) -> list[int]:
    chosen = int(page.locator(".box.is-chosen").get_attribute("data-cell-id") or 0)
    return next(cell["box"] for cell in cells_of(page) if cell["cell_id"] == chosen)


def label_cells(page: Page) -> None:
    """Label the first cells by keys; who looks at them sees what they are, here their place tells."""
    page.keyboard.press("Home")
    for cell in cells_of(page)[:LABELS]:
        left, top, right, bottom = cell["box"]
        column = (left + right) // (2 * SIDE)
        columns = COLUMNS if top + bottom < 2 * SIDE else COLUMNS[::-1]
        page.keyboard.press(columns[column][0].lower())
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+F")  # boxes are drawn where they are in sight
    expect(page.locator(".box:not(.is-predicted)")).to_have_count(LABELS)


def reclassify(page: Page, key: str) -> None:
    """Give the first cell another class by its key."""
    page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".cell:focus")).to_be_visible()
    page.keyboard.press(key)
    saved(page)


def sign(page: Page, version: int) -> None:
    button = page.get_by_role("button", name=f"Sign version {version}")
    button.click()
    reason = page.get_by_label("Why it may be signed all the same")
    expect(page.locator(".signatures").or_(reason).first).to_be_visible()
    if reason.is_visible():
        reason.fill("Compared with the microscope")
        button.click()
    expect(page.locator(".signatures")).to_contain_text("Maria")


def amend(page: Page) -> None:
    page.get_by_text("Amend", exact=True).click()
    page.get_by_label("Why it has to be changed").fill("A cell was read again")
    page.get_by_role("button", name="Open version 2").click()
    expect(page.get_by_role("button", name="Sign version 2")).to_be_visible()


def printed(page: Page, folder: Path) -> str:
    """Download the PDF and return its words; the page as a picture is kept beside the screenshots."""
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF").click()
    download.value.save_as(folder / "report.pdf")
    with pypdfium2.PdfDocument(io.BytesIO((folder / "report.pdf").read_bytes())) as document:
        assert len(document) == 1
        picture = document[0].render(scale=2).to_pil()
        assert min(picture.convert("L").getextrema()) < 50  # something is printed
        if kept := os.environ.get("FIFTYCELLS_SCREENSHOTS"):
            picture.save(Path(kept) / "slide-report-pdf.png")
        return document[0].get_textpage().get_text_range()
