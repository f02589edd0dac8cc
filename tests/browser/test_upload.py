"""Uploads as the person at the browser sees them: a server that goes away, fields of a smear."""

import os
import re
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.factories import cell_image
from tests.live import Browser, Installation, until
from tests.slides.test_fields import field_of

CELLS = 300
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 150_000}  # bytes per second
SECONDS = 60
Look = Callable[[Page, str], None]


def test_an_upload_survives_the_death_of_the_server_and_the_page_says_so(
    page: Page, maria: Browser, running: Installation, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for number in range(CELLS):
            archive.writestr(f"{number}.png", cell_image("NGS", number))
    page.goto(new_slide(maria))
    expect(page.locator("#choosers")).to_be_visible()
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    note, lost = page.locator("#sending-note"), page.locator("#live-state")
    page.locator("#choose-files").set_input_files(tmp_path / "cells.zip")
    expect(page.locator("#sending-count")).to_have_text(re.compile(r", [1-9]\d\d kB of"))
    running.kill()
    expect(note).to_have_text("No connection to the server. Trying again…")
    expect(lost).to_be_visible()

    running.start()
    expect(note).to_have_text("You may close this page once everything is sent.", timeout=SECONDS * 1000)
    expect(page.locator("#sending-label")).to_have_text("Sending")
    expect(lost).to_be_hidden()
    cells = page.locator("#progress .stat-value").first
    expect(cells).to_have_text(str(CELLS), timeout=SECONDS * 1000)
    expect(page.locator(".upload")).to_contain_text(f"{CELLS} new cells")


def test_a_large_file_goes_on_where_it_was(page: Page, maria: Browser, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "large.zip", "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.png", cell_image("NGS", number))
        archive.writestr("notes.bin", os.urandom(26_000_000))
    page.goto(new_slide(maria, "Large"))
    expect(page.locator("#choosers")).to_be_visible()
    line = page.context.new_cdp_session(page)
    line.send("Network.emulateNetworkConditions", {**SLOW, "uploadThroughput": 4_000_000})
    page.locator("#choose-files").set_input_files(tmp_path / "large.zip")
    count, note = page.locator("#sending-count"), page.locator("#sending-note")
    a_piece_and_more = re.compile(r", (9|1\d)(\.\d)? MB of 26 MB")
    expect(count).to_have_text(a_piece_and_more, timeout=SECONDS * 1000)
    page.locator("#sending-stop").click()
    expect(note).to_have_text("Stopped. What arrived is kept.")
    page.reload()
    expect(page.locator("#choosers")).to_be_visible()
    line.send("Network.emulateNetworkConditions", {**SLOW, "uploadThroughput": -1})
    sent = []
    page.on("request", lambda request: sent.append(request) if request.method in {"POST", "PATCH"} else None)
    page.locator("#choose-files").set_input_files(tmp_path / "large.zip")
    expect(page.locator(".upload")).to_contain_text("5 new cells", timeout=SECONDS * 1000)
    expect(page.locator(".upload")).to_have_count(1)
    pieces = [request.headers["upload-offset"] for request in sent if request.method == "PATCH"]
    assert int(pieces[0]) >= 8_000_000  # what came of the piece that was broken off is kept too
    assert not [request.url for request in sent if request.method == "POST"]


def test_cells_of_a_field_are_seen_in_it(page: Page, maria: Browser, look: Look, tmp_path: Path) -> None:
    (tmp_path / "field.png").write_bytes(field_of(["NGS", "LYT", "EOS"], 1))
    page.goto(path := new_slide(maria, "Smears"))
    page.get_by_label("fields of the smear").check()
    page.locator("#choose-files").set_input_files(tmp_path / "field.png")
    expect(page.locator(".upload")).to_contain_text("6 new cells", timeout=SECONDS * 1000)
    look(page, "slide-fields")
    page.goto(path.partition("/slides")[0] + "/cells")
    page.locator(".tile").first.focus()
    page.keyboard.press("Space")
    around = page.locator("#zoom-field img")
    expect(around).to_be_visible()
    until(lambda: around.evaluate("image => image.naturalWidth") > 400, SECONDS, "the field is not shown")
    look(page, "zoom-field")
    page.locator("#zoom-place").click()
    boxes_are_corrected_by_keys(page, look)
    boxes_are_corrected_by_pointer(page)


def boxes_are_corrected_by_keys(page: Page, look: Look) -> None:
    """Draw and remove boxes of the field that is open, with a cell of it chosen."""
    count, chosen = page.locator("#box-count"), page.locator("#chosen-title")
    expect(chosen).to_have_text(re.compile("Cell [1-6] of 6"))
    expect(page.locator(".box.is-chosen")).to_have_count(1)
    look(page, "field")
    page.keyboard.press("Home")
    expect(chosen).to_have_text("Cell 1 of 6")
    page.keyboard.press("Shift+F")
    page.keyboard.press("Shift+B")
    expect(page.locator("#draft")).to_be_visible()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    look(page, "field-drawing")
    page.keyboard.press("Enter")
    expect(count).to_have_text("7 cells", timeout=SECONDS * 1000)
    page.keyboard.press("Delete")
    expect(count).to_have_text("6 cells")
    page.keyboard.press("Control+z")
    expect(count).to_have_text("7 cells")
    page.keyboard.press("Control+z")
    expect(count).to_have_text("6 cells")


def boxes_are_corrected_by_pointer(page: Page) -> None:
    """Label a cell and draw its box larger; the label stays with it."""
    page.locator(".box").first.click()
    page.get_by_role("button", name="LYT").click()
    expect(page.locator("#chosen-label")).to_have_text("LYT, labelled")
    page.get_by_role("button", name="Adjust").click()
    corner = page.locator(".handle").last.bounding_box()
    assert corner
    page.mouse.move(corner["x"] + 5, corner["y"] + 5)
    page.mouse.down()
    page.mouse.move(corner["x"] + 45, corner["y"] + 25, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Save the box").click()
    expect(page.locator(".box.is-pending")).to_have_count(0, timeout=SECONDS * 1000)
    expect(page.locator(".box:not(.is-predicted)")).to_have_count(1, timeout=SECONDS * 1000)
    expect(page.locator("#box-count")).to_have_text("6 cells")


def new_slide(maria: Browser, name: str = "Lab") -> str:
    """The path of an empty slide of a new project."""
    with closing(maria.rest()) as rest:
        classes = [{"code": code, "name": code} for code in ("NGS", "LYT")]
        project = rest.post("projects", json={"name": name, "classes": classes}).raise_for_status().json()["id"]
        scanner = rest.post(f"projects/{project}/scanners", json={"name": "S"}).raise_for_status().json()["id"]
        slide = {"accession": "A", "scanner_id": scanner}
        slide_id = rest.post(f"projects/{project}/slides", json=slide).raise_for_status().json()["id"]
    return f"/projects/{project}/slides/{slide_id}"
