"""Whole-slide files become a field in tiles and its cells."""

import io
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest
import tifffile
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import leases
from app.db import reading, transaction
from app.models import Cell, Field, Image, Project, Slide
from app.storage import get_storage
from tests.factories import make_slide
from tests.ml.test_clean import SECRET
from tests.slides.uploading import counts, refused, state, upload
from workers import runner, whole_slides
from workers.ml.rendering import render_cell

SQUARE = 360  # pixels
TILED = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb"}
STRIPS = {"rowsperstrip": 64, "photometric": "rgb"}


def slide_file(options: dict[str, object] = TILED, side: int = 2520) -> bytes:
    """A slide as Aperio's scanners write it, of squares with a white cell in each, then its label with a name."""
    cells = [render_cell(code, "A", seed) for seed, code in enumerate(["NGS", "LYT", "EOS", "MON"] * 2)][:7]
    pixels = np.vstack([np.hstack(cells[turn:] + cells[:turn]) for turn in range(7)])[:side, :side]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        scale = {"resolution": (98_000, 98_000), "resolutionunit": "CENTIMETER", "metadata": None}  # 0.102 µm a pixel
        file.write(
            pixels,
            description=f"Aperio Image Library\n2520x2520|MPP = 0.102|Patient = {SECRET}",
            **options,
            **scale,
        )
        file.write(np.full((300, 300, 3), 200, np.uint8), description=SECRET, photometric="rgb")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def whole() -> bytes:
    return slide_file()


def test_a_slide_becomes_a_field_and_its_cells_and_keeps_no_name(
    browser: TestClient, slide: Slide, project: Project, whole: bytes, work: Callable[[], int]
) -> None:
    first = upload(browser, slide, [("case.svs", whole), ("broken.svs", whole[:40_000])], "field")
    work()
    stored, duplicates, bad = counts(first)
    assert (duplicates, bad) == (0, 1)
    assert "damaged" in refused(first)["broken.svs"]
    with reading() as session:
        field = session.scalars(select(Field)).one()
        image = session.get_one(Image, field.image_id)
        boxes = [box for box in session.scalars(select(Cell.box).where(Cell.field_id == field.id)) if box]
    assert (image.format, image.width, image.height) == ("TIFF", 2520, 2520)
    assert field.red_cell_px == pytest.approx(73.5, rel=0.01)
    squares = {((left + right) // (2 * SQUARE), (top + bottom) // (2 * SQUARE)) for left, top, right, bottom in boxes}
    assert len(squares) == 49
    assert stored == len(boxes) <= 52  # of a few the platelets beside them are taken for cells
    kept = get_storage().read(f"images/{image.sha256}")
    assert SECRET.encode() in whole
    assert SECRET.encode() not in kept

    again = upload(browser, slide, [("again.svs", whole)], "field")
    other = upload(browser, make_slide(project), [("strips.ome.tif", slide_file(STRIPS, side=760))], "field")
    work()
    assert counts(again) == (0, stored, 0)
    assert counts(other)[:2] == (3, 1)  # two of its four squares show the same pixels


def test_a_worker_that_is_killed_goes_on_at_the_tile_it_was_at(
    browser: TestClient, slide: Slide, whole: bytes, work: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_slides, "AT_ONCE", 1)
    first = upload(browser, slide, [("case.svs", whole)], "field")
    searched: list[int] = []
    find = whole_slides.cells_in

    def find_once(picture: object, diameter: float, tile: tuple[int, int, int, int]) -> object:
        searched.append(tile[0] + tile[1])
        if len(searched) == 2:
            raise KeyboardInterrupt
        return find(picture, diameter, tile)  # type: ignore[arg-type]

    monkeypatch.setattr(whole_slides, "cells_in", find_once)
    with pytest.raises(KeyboardInterrupt):
        runner.run_next("slides", "test")
    with transaction() as session:
        leases.release(session, "test")
    work()
    assert searched == [0, 2048, 2048, 2048, 4096]  # tiles by left + top: the second was searched twice
    assert state(first).stored >= 40


def test_a_slide_without_a_scale_and_red_cells_is_refused(
    browser: TestClient, slide: Slide, work: Callable[[], int]
) -> None:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (600, 600), "white").save(
        buffer, "TIFF", append_images=[PIL.Image.new("RGB", (9, 9))], save_all=True
    )
    first = upload(browser, slide, [("blank.tif", buffer.getvalue())], "field")
    work()
    assert refused(first) == {"blank.tif": "no red cells to tell the scale by; state µm per pixel"}
