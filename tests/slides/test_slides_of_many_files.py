"""Slides of many files come as one ZIP."""

import io
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import Field, Image, Project, Slide
from app.storage import get_storage
from tests.factories import make_slide
from tests.ml.test_clean import SECRET
from tests.slides.many_files import Files, dicom_series, mirax
from tests.slides.uploading import counts, refused, upload
from workers.ml.rendering import render_cell

SCALE = 0.102  # µm a pixel


def packed(*folders: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, files in enumerate(folders):
            for name, data in files.items():
                archive.writestr(f"slide {number}/{name}", data)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def series() -> Files:
    return dicom_series(smear(), SCALE, SECRET)


@pytest.fixture(scope="module")
def slide_files() -> Files:
    return mirax(smear(), SCALE, SECRET)


def smear() -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    cells = [render_cell(code, "A", seed) for seed, code in enumerate(["NGS", "LYT", "EOS", "MON", "BAS", "NGB"])]
    return np.vstack([np.hstack(cells[:3]), np.hstack(cells[3:])])


def test_a_dicom_series_and_a_mirax_slide_become_a_field_each(
    browser: TestClient, project: Project, series: Files, slide_files: Files, work: Callable[[], int]
) -> None:
    directory = {"DICOMDIR": bytes(128) + b"DICM", "readme.txt": b"Of the scanner"}
    first = upload(browser, make_slide(project), [("series.zip", packed(series | directory))], "field")
    second = upload(browser, make_slide(project), [("mirax.zip", packed(slide_files))], "field")
    work()
    for each in (first, second):
        stored, duplicates, bad = counts(each)
        assert (duplicates, bad) == (0, 0)
        assert 6 <= stored <= 8  # of a few the platelets beside them are taken for cells
    with reading() as session:
        images = session.scalars(select(Image).join(Field, Field.image_id == Image.id)).all()
        scales = session.scalars(select(Field.red_cell_px)).all()
    assert [image.width // 100 for image in images] == [10, 12]  # MIRAX ends with a whole tile
    assert scales == pytest.approx([73.5, 73.5], rel=0.01)
    assert any(SECRET.encode() in data for data in series.values())
    assert not any(SECRET.encode() in get_storage().read(f"images/{image.sha256}") for image in images)
    assert not list(get_storage().temporary.iterdir())


def test_what_is_not_one_whole_slide_is_refused_with_what_to_do(
    browser: TestClient, slide: Slide, series: Files, slide_files: Files, work: Callable[[], int]
) -> None:
    alone = {name: data for name, data in slide_files.items() if name.endswith(".mrxs")}
    files = [
        ("one.dcm", series["IM0001"]),
        ("case.mrxs", slide_files["case.mrxs"]),
        ("incomplete.zip", packed(alone)),
        ("two.zip", packed(series, slide_files)),
        ("empty.zip", packed({"DICOMDIR": bytes(128) + b"DICM"})),
        ("outside.zip", packed({"../../case.mrxs": b"", "../../../case.mrxs": b""})),
        ("same.zip", packed(slide_files | {"./case.mrxs": b""})),
        (
            "damaged.zip",
            packed(slide_files)[:-400].replace(b"\xff\xd8\xff", b"\xff\xd8\xfe") + packed(slide_files)[-400:],
        ),
    ]
    first = upload(browser, slide, files, "field")
    work()
    reasons = refused(first)
    assert reasons.keys() == {name for name, _data in files}
    assert reasons["one.dcm"] == reasons["case.mrxs"]
    assert reasons["one.dcm"] == "one of the files of a slide: pack all of them into one ZIP and send that"
    assert reasons["incomplete.zip"] == "incomplete: the files that belong to case.mrxs are not beside it"
    assert reasons["two.zip"] == "2 slides in one ZIP: pack each by itself"
    assert reasons["empty.zip"].startswith("no slide that can be read: ")
    assert reasons["outside.zip"] == "a file name in this ZIP leads outside of it or is too long"
    assert reasons["same.zip"] == "two files of one name in this ZIP"
    assert "damaged" in reasons["damaged.zip"]
    assert counts(first) == (0, 0, len(files))
    assert not list(get_storage().temporary.iterdir())
