"""The main job, as a person does it: from the first link to exported predictions."""

import csv
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live import PASSWORD, Installation
from workers.ml.rendering import demo_cells

Look = Callable[[Page, str], None]
Cells = dict[str, tuple[bytes, str]]  # file name -> bytes, class code

CLASSES = ("NGS", "LYT", "MON", "EOS", "BAS")  # of the 5-part differential
KEYS = dict(zip(CLASSES, "nlmeb", strict=True))
LABELS = 10  # per class
CELLS = 60  # per class
SECONDS = 120


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that nobody has seen before."""
    installation = Installation(tmp_path_factory.mktemp("story") / "data").start()
    yield installation
    installation.stop()


@pytest.fixture(scope="module")
def cells() -> Cells:
    """Real cells where FIFTYCELLS_DATA says they are (Acevedo et al.), otherwise generated ones."""
    root = os.environ.get("FIFTYCELLS_DATA")
    if not root or os.environ.get("FIFTYCELLS_SCREENSHOTS"):  # real cells are not ours to publish
        weights = dict.fromkeys(CLASSES, 1.0)
        return {name: (data, code) for name, code, data in demo_cells(CELLS * len(CLASSES), "A", 1, weights)}
    folder = Path(root) / "acevedo"
    found: Cells = {}
    taken = Counter[str]()
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["label"] in CLASSES and taken[row["label"]] < CELLS:
                taken[row["label"]] += 1
                found[Path(row["path"]).name] = ((folder / "images" / row["path"]).read_bytes(), row["label"])
    return found


def test_the_main_job(tab: Page, running: Installation, cells: Cells, look: Look, tmp_path: Path) -> None:
    become_manager(tab, running, look)
    make_project(tab, look)
    upload(tab, cells, look, tmp_path)
    label_by_keys(tab, cells, look)
    see_predictions_change(tab, cells, look)
    export(tab, cells)
    look_around(tab, look)


def become_manager(page: Page, running: Installation, look: Look) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile("/sign-in"))
    look(page, "sign-in")
    page.goto(running.link)
    look(page, "welcome")
    page.get_by_label("Name", exact=True).fill("Maria")
    page.get_by_label("E-mail").fill("manager@lab.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="New project").first).to_be_visible()
    look(page, "projects")


def make_project(page: Page, look: Look) -> None:
    page.get_by_role("button", name="New project").first.click()
    look(page, "new-project")
    page.get_by_label("Name", exact=True).fill("Blood")
    page.get_by_label(re.compile("5-part differential")).check()
    page.get_by_label("Scanner", exact=True).fill("DM96")
    page.get_by_role("button", name="Create project").click()
    expect(page.locator("#classes [data-class-code]")).to_have_count(len(CLASSES))
    for code, key in KEYS.items():
        expect(page.locator(f'#classes [data-class-code="{code}"] kbd')).to_have_text(key)


def upload(page: Page, cells: Cells, look: Look, folder: Path) -> None:
    archive = folder / "cells.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, (data, _) in cells.items():
            file.writestr(name, data)
        file.writestr("notes.txt", "not a cell")
    page.get_by_role("link", name="Slides", exact=True).click()
    page.get_by_label("Accession").fill("A-17")
    look(page, "slides")
    page.get_by_role("button", name=re.compile("slide", re.IGNORECASE)).click()
    expect(page.locator("#choosers")).to_be_visible()  # the script is there; before, nobody could choose either
    page.locator("#choose-files").set_input_files(archive)
    progress = page.locator("#progress")
    expect(progress).to_contain_text("notes.txt", timeout=SECONDS * 1000)
    look(page, "slide")
    # The page may be left and opened again while the workers go on.
    page.goto("/")
    page.go_back()
    expect(progress).to_contain_text("not an image")
    expect(progress.locator(".stat-value").nth(2)).to_have_text(str(len(cells)), timeout=SECONDS * 1000)
    name, (data, _) = next(iter(cells.items()))
    page.locator("#choose-files").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": data})
    expect(progress.locator(".upload-counts").first).to_contain_text("1 already on this slide", timeout=SECONDS * 1000)
    expect(page.locator("#sending-count")).to_have_text(re.compile(r"1 of 1 file, \d+ kB of \d+ kB"))


def label_by_keys(page: Page, cells: Cells, look: Look) -> None:
    """Label 5 x 10 cells without touching the mouse, undo one and redo it."""
    page.goto(page.url.split("/slides")[0] + "/cells?order=random")
    grid = page.locator("#grid")
    tiles = grid.locator("[data-cell-id]")
    expect(tiles).to_have_count(200)
    tiles.first.focus()
    given = Counter[str]()
    for _ in range(200):
        name = page.evaluate("document.activeElement.dataset.name")
        code = cells[name][1]
        if given[code] < LABELS:
            given[code] += 1
            page.keyboard.press(KEYS[code])
        else:
            page.keyboard.press("ArrowRight")
        if sum(given.values()) == LABELS * len(CLASSES):
            break
    labelled = grid.locator('[data-class]:not([data-class=""])')
    expect(labelled).to_have_count(LABELS * len(CLASSES))
    page.keyboard.press("Control+z")
    expect(labelled).to_have_count(LABELS * len(CLASSES) - 1)
    page.keyboard.press("Control+Shift+Z")
    expect(labelled).to_have_count(LABELS * len(CLASSES))
    expect(page.locator("#save-state")).to_have_text("Saved", timeout=30_000)
    for code in CLASSES:
        expect(page.locator(f'#classes [data-class-code="{code}"] .class-count b')).to_have_text(str(LABELS))
    look(page, "grid-labelled")


def see_predictions_change(page: Page, cells: Cells, look: Look) -> None:
    tiles = page.locator("#grid [data-cell-id]")
    expect(page.locator('#grid [data-predicted=""]')).to_have_count(0, timeout=SECONDS * 1000)
    before = page.locator("#grid").get_attribute("data-version") or ""
    unlabelled = page.locator('#grid [data-class=""]').first
    unlabelled.hover()
    name = unlabelled.get_attribute("data-name") or ""
    page.keyboard.press(KEYS[cells[name][1]])
    expect(page.locator("#grid")).not_to_have_attribute("data-version", before, timeout=20_000)
    right = sum(
        tile["predicted"] == cells[tile["name"]][1]
        for tile in page.evaluate("[...document.querySelectorAll('#grid [data-cell-id]')].map(t => ({...t.dataset}))")
    )
    assert right / tiles.count() > 0.7
    page.goto(page.url.split("?")[0])
    expect(tiles).to_have_count(200)
    look(page, "grid")
    page.set_viewport_size({"width": 1920, "height": 1080})
    look(page, "grid-1920")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.keyboard.press("?")
    look(page, "keys")
    page.keyboard.press("Escape")
    tiles.first.hover()
    page.keyboard.press(" ")
    look(page, "zoom")
    page.keyboard.press("Escape")


def export(page: Page, cells: Cells) -> None:
    page.get_by_role("link", name="Predictions", exact=True).click()
    for link, rows in (("Labels (CSV)", LABELS * len(CLASSES) + 1), ("Predictions (CSV)", len(cells))):
        with page.expect_download() as download:
            page.get_by_role("button", name=link).or_(page.get_by_role("link", name=link)).click()
        text = Path(download.value.path()).read_text()
        assert len(list(csv.DictReader(io.StringIO(text)))) == rows


def look_around(page: Page, look: Look) -> None:
    """Every other page, light and dark."""
    expect(page.get_by_text("Confusion matrix")).to_be_visible()
    look(page, "predictions")
    project = page.url.removesuffix("/predictions")
    page.goto(f"{project}/slides")
    page.get_by_role("link", name="A-17").click()
    page.locator("summary", has_text="refused").click()
    look(page, "refusals")
    page.goto(f"{project}/classes")
    page.get_by_role("link", name="Change").first.click()
    look(page, "class")
    page.goto(f"{project}/scanners")
    page.get_by_role("link", name="Change DM96").click()
    look(page, "scanner")
    pages = {
        "classifiers": f"{project}/classifiers",
        "classes": f"{project}/classes",
        "settings": f"{project}/settings",
        "scanners": f"{project}/scanners",
        "watching": "/scanners/1/watching",
        "adaptation": "/scanners/1/adaptation",
        "packs": f"{project}/packs",
        "packs-received": "/packs",
        "audit": f"{project}/audit",
        "jobs": "/jobs",
        "accounts": "/accounts",
        "account": "/account",
        "refused": "/uploads/1/refused",  # of the first upload of this installation
        "rest": "/api/v1/docs",
        "not-found": "/projects/999/cells",
    }
    for name, address in pages.items():
        page.goto(address)
        look(page, name)
    page.emulate_media(color_scheme="dark")
    for name in ("cells", "predictions", "slides", "settings"):
        page.goto(f"{project}/{name}")
        look(page, f"{name}-dark")
