"""Fields of a smear become cells that know their place."""

import io
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import Cell, Field, Project, Slide
from tests.factories import make_scanner, make_slide, make_user
from tests.pages import grid_of
from tests.slides.uploading import cell_names, counts, picture, refused, upload
from workers.ml.rendering import render_cell

SIDE = 360


def field_of(codes: list[str], seed: int) -> bytes:
    """A PNG with a white cell in the middle of each square of 360 pixels."""
    pixels = np.hstack([render_cell(code, "A", seed + number) for number, code in enumerate(codes)])
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.vstack([pixels, pixels[:, ::-1]])).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def fields() -> list[tuple[str, bytes]]:
    return [("one.png", field_of(["NGS", "LYT", "EOS"], 1)), ("two.png", field_of(["MON", "LYT"], 5))]


def test_cells_of_fields_know_their_place(
    browser: TestClient, slide: Slide, fields: list[tuple[str, bytes]], work: Callable[[], int]
) -> None:
    blank = io.BytesIO()
    PIL.Image.new("RGB", (300, 300), "white").save(blank, "PNG")
    files = [*fields, ("blank.png", blank.getvalue()), ("broken.png", picture(1)[:50])]
    first = upload(browser, slide, files, "field")
    work()
    assert counts(first) == (10, 0, 2)
    assert refused(first)["blank.png"] == "no red cells to tell the scale by; state µm per pixel"
    assert cell_names(slide)[0] == "one.png 1"
    with reading() as session:
        cells = session.scalars(select(Cell).order_by(Cell.id)).all()
        assert {field.name for field in session.scalars(select(Field))} == {"one.png", "two.png"}
    squares = {(cell.field_id, *((cell.box[at] + cell.box[at + 2]) // 2 // SIDE for at in (0, 1))) for cell in cells}
    assert squares == {(1, x, y) for x in range(3) for y in range(2)} | {(2, x, y) for x in range(2) for y in range(2)}

    again = upload(browser, slide, fields[:1], "field")
    work()
    assert counts(again) == (0, 6, 0)

    around = browser.get(f"/cells/{cells[0].id}/field")
    with PIL.Image.open(io.BytesIO(around.content)) as image:
        assert image.format == "JPEG"
        assert SIDE < image.width <= 3 * SIDE
        assert SIDE < image.height <= 2 * SIDE
    tiles = grid_of(browser, f"/projects/{slide.project_id}/cells").tiles
    assert {tile["field"] for tile in tiles} == {f"/cells/{cell.id}/field" for cell in cells}


def test_the_scanner_tells_the_scale(
    browser: TestClient, project: Project, fields: list[tuple[str, bytes]], work: Callable[[], int]
) -> None:
    slide = make_slide(project, scanner=make_scanner(project, um_per_px=1 / 9.8))
    upload(browser, slide, fields[1:], "field")
    work()
    with reading() as session:
        assert session.scalars(select(Field.red_cell_px)).one() == pytest.approx(7.5 * 9.8)


def test_only_members_see_the_field_and_single_cells_have_none(
    browser: TestClient,
    slide: Slide,
    fields: list[tuple[str, bytes]],
    work: Callable[[], int],
    sign_in: Callable[..., TestClient],
) -> None:
    upload(browser, slide, fields[1:], "field")
    upload(browser, slide, [("cell.png", picture(1))])
    work()
    with reading() as session:
        cut = session.scalars(select(Cell.id).where(Cell.field_id.is_not(None))).first()
        single = session.scalars(select(Cell.id).where(Cell.field_id.is_(None))).one()
    assert browser.get(f"/cells/{cut}/field").status_code == 200
    assert browser.get(f"/cells/{single}/field").status_code == 404
    sign_in(make_user())
    assert browser.get(f"/cells/{cut}/field").status_code == 404


def test_the_form_of_a_browser_without_scripts_takes_fields(
    browser: TestClient, slide: Slide, fields: list[tuple[str, bytes]], work: Callable[[], int]
) -> None:
    answer = browser.post(f"/slides/{slide.id}/images", files={"files": fields[1]}, data={"kind": "field"})
    assert answer.status_code in (200, 303)
    work()
    assert len(cell_names(slide)) == 4


def test_a_cell_that_is_off_centre_is_cut_out_and_knows_where_it_was(
    browser: TestClient, slide: Slide, work: Callable[[], int]
) -> None:
    corner = render_cell("NGS", "A", 3)[120:, 130:]  # its cell lies in the upper left
    blank = np.full((200, 200, 3), 240, np.uint8)
    files = []
    for name, pixels in (("corner.png", corner), ("blank.png", blank)):
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, "PNG")
        files.append((name, buffer.getvalue()))
    first = upload(browser, slide, files, "off_centre")
    work()
    assert counts(first) == (1, 0, 1)
    assert refused(first) == {"blank.png": "no nucleated cell was found in it"}
    with reading() as session:
        cell = session.scalars(select(Cell)).one()
    assert cell.name == "corner.png"
    assert cell.box is not None
    middle = ((cell.box[0] + cell.box[2]) / 2, (cell.box[1] + cell.box[3]) / 2)
    assert middle == pytest.approx((SIDE / 2 - 130, SIDE / 2 - 120), abs=25)
    image = browser.get(f"/cells/{cell.id}/image")
    with PIL.Image.open(io.BytesIO(image.content)) as picture_of:
        assert picture_of.width == picture_of.height  # centred: what lies beyond the edge is glass
