"""A manager adapts a project to a new scanner, page by page, and signs."""

import io
import re
import zipfile
from collections.abc import Callable
from contextlib import closing

import pytest
from playwright.sync_api import Page, expect

from tests.browser.grids import SECONDS, labelled, saved
from tests.factories import numbers
from tests.live import PASSWORD, Browser, until
from workers.ml.rendering import demo_cells

Look = Callable[[Page, str], None]
Cells = dict[str, tuple[bytes, str]]  # file name -> bytes, class code

KEYS = {"NGS": "n", "LYT": "l", "EOS": "e"}
OLD, NEW, VALIDATION = 60, 130, 50


def cells_of(scanner: str, count: int) -> Cells:
    found = demo_cells(count, scanner, 1, dict.fromkeys(KEYS, 1.0))
    return {f"{scanner}-{name}": (data, code) for name, code, data in found}


def archive(cells: Cells) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, (data, _code) in cells.items():
            file.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def new() -> Cells:
    return cells_of("B", NEW)


@pytest.fixture(scope="module")
def project(maria: Browser) -> str:
    """The path of a project with labelled cells of another scanner."""
    old = cells_of("A", OLD)
    with closing(maria.rest()) as rest:
        classes = [{"code": code, "name": code, "key": key} for code, key in KEYS.items()]
        body = {"name": f"Lab {next(numbers)}", "classes": classes}
        project = rest.post("projects", json=body).raise_for_status().json()["id"]
        scanner = rest.post(f"projects/{project}/scanners", json={"name": "Old"}).raise_for_status().json()["id"]
        slide = {"accession": "A-1", "scanner_id": scanner}
        path = f"slides/{rest.post(f'projects/{project}/slides', json=slide).raise_for_status().json()['id']}"
        rest.post(f"{path}/images", files={"files": ("old.zip", archive(old))}).raise_for_status()
        until(lambda: rest.get(path).json()["counts"]["embedded"] == OLD, SECONDS, "the cells are not embedded")
        found = rest.get(f"{path}/cells", params={"limit": OLD}).raise_for_status().json()["items"]
        items = [{"cell_id": cell["id"], "class": old[cell["name"]][1]} for cell in found]
        rest.post(f"projects/{project}/annotations", json={"items": items}).raise_for_status()
    return f"/projects/{project}"


def test_a_new_scanner_in_an_afternoon(page: Page, project: str, new: Cells, look: Look) -> None:
    upload_cells(page, project, new, look)
    see_the_shift(page, look)
    check_blind(page, new, look)
    label_what_teaches_most(page, new, look)
    sign_for_the_recommended_one(page, look)


def step(page: Page, title: str) -> None:
    """Be on the page of a step, with nothing under way."""
    expect(page.get_by_role("heading", name=title, level=2)).to_be_visible()
    expect(page.get_by_text("Comparing")).to_have_count(0, timeout=SECONDS * 1000)


def upload_cells(page: Page, project: str, new: Cells, look: Look) -> None:
    page.goto(f"{project}/scanners")
    page.get_by_label("Name", exact=True).fill("New")
    page.get_by_role("button", name="Add scanner").click()
    page.get_by_role("link", name="How well it is served: New").click()
    step(page, "Cells")
    page.get_by_label("Accession of a slide").fill("B-1")
    page.get_by_role("button", name="Create the slide and add images").click()
    expect(page.locator("#choosers")).to_be_visible()
    page.locator("#choose-files").set_input_files(
        {"name": "new.zip", "mimeType": "application/zip", "buffer": archive(new)}
    )
    embedded = page.locator("#progress .stat-value").nth(2)
    expect(embedded).to_have_text(str(len(new)), timeout=SECONDS * 1000)
    page.goto(f"{project}/scanners")
    page.get_by_role("link", name="How well it is served: New").click()
    expect(page.get_by_text("130 cells of this scanner")).to_be_visible()
    page.get_by_label("How many").fill(str(VALIDATION))
    look(page, "new-scanner-cells")
    page.get_by_role("button", name="Set cells aside and measure the shift").click()


def see_the_shift(page: Page, look: Look) -> None:
    step(page, "Shift")
    expect(page.get_by_text("Told apart (AUROC)")).to_be_visible(timeout=SECONDS * 1000)
    look(page, "new-scanner-shift")
    page.locator("a[rel=next]").click()


def label_all(page: Page, new: Cells, count: int) -> None:
    """Label the batch on the grid by keys alone."""
    expect(page.locator("#batch-note")).to_be_visible()  # the script is there
    expect(page.locator(".tile")).to_have_count(count)
    page.locator(".tile").first.focus()
    for _ in range(count):
        name = page.evaluate("document.activeElement.dataset.name")
        page.keyboard.press(KEYS[new[name][1]])
    expect(labelled(page)).to_have_count(count)
    saved(page)


def check_blind(page: Page, new: Cells, look: Look) -> None:
    step(page, "Spot check")
    page.get_by_role("button", name="Label the next cells").click()
    expect(page.locator('.tile:not([data-predicted=""])')).to_have_count(0)
    label_all(page, new, VALIDATION)
    page.get_by_role("link", name="Back to the new scanner").click()
    step(page, "Labels")  # where the next thing is to be done
    page.locator("a[rel=prev]").click()
    page.get_by_role("button", name="Judge by the 50 cells").click()
    step(page, "Spot check")
    expect(page.get_by_text("Direct transfer, class by class")).to_be_visible(timeout=SECONDS * 1000)
    look(page, "new-scanner-spot-check")
    page.locator("a[rel=next]").click()


def label_what_teaches_most(page: Page, new: Cells, look: Look) -> None:
    for _ in range(2):
        step(page, "Labels")
        page.get_by_role("button", name="Next cells to label").click()
        expect(page.locator(".tile").first).to_be_visible()
        label_all(page, new, page.locator(".tile").count())
        page.get_by_role("link", name="Back to the new scanner").click()
        page.get_by_role("navigation", name="Steps").get_by_role("link", name="Labels").click()
        page.get_by_role("button", name="See what the labels bring").click()
        step(page, "Labels")
    expect(page.get_by_role("img", name=re.compile("^Learning curve"))).to_be_visible(timeout=SECONDS * 1000)
    look(page, "new-scanner-labels")
    page.locator("a[rel=next]").click()
    step(page, "Comparison")
    expect(page.get_by_text("Recommended:")).to_be_visible()
    look(page, "new-scanner-comparison")
    page.locator("a[rel=next]").click()


def sign_for_the_recommended_one(page: Page, look: Look) -> None:
    step(page, "Decision")
    page.get_by_label("Reason").fill("Best on the validation cells")
    page.get_by_label("Your password").fill("wrong")
    page.get_by_role("button", name="Sign and let it report").click()
    expect(page.locator("#password-error")).to_be_visible()
    look(page, "new-scanner-decision")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Sign and let it report").click()
    expect(page.get_by_text("Reports of this scanner are made by version")).to_be_visible(timeout=SECONDS * 1000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Adaptation report (PDF)").click()
    assert download.value.path().read_bytes().startswith(b"%PDF")
