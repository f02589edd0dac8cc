"""Pictures of cells: who sees them, what the browser may keep, and that nothing of an original leaks."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, select

from app.cells import pictures
from app.db import engine, reading, transaction
from app.models import Cell, Project, Slide
from tests.factories import make_project, make_slide, make_user
from tests.slides.uploading import picture, upload
from workers.ml import images

Work = Callable[[], int]


@pytest.fixture
def slide(installation: object) -> Slide:
    return make_slide(make_project())


@pytest.fixture
def browser(client: TestClient, sign_in, slide: Slide) -> TestClient:
    return sign_in(make_user(role="manager"))


def one_cell(browser: TestClient, slide: Slide, work: Work, name: str, data: bytes) -> int:
    upload(browser, slide, [(name, data)])
    work()
    with reading() as session:
        return session.scalars(select(Cell.id).where(Cell.slide_id == slide.id)).all()[-1]


def opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


def test_a_thumbnail_is_a_small_jpeg_the_browser_may_keep(browser: TestClient, slide: Slide, work: Work) -> None:
    cell = one_cell(browser, slide, work, "cell.png", picture(1, size=(360, 300)))
    answer = browser.get(f"/cells/{cell}/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert opened(answer.content).size == (180, 150)
    again = browser.get(f"/cells/{cell}/thumbnail", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_strangers_see_no_picture(browser: TestClient, slide: Slide, work: Work, sign_in) -> None:
    cell = one_cell(browser, slide, work, "cell.png", picture(1))
    for name in ("thumbnail", "image", "original"):
        address = f"/cells/{cell}/{name}"
        sign_in(make_user())
        refusal = browser.get(address)
        assert (refusal.status_code, refusal.headers["cache-control"]) == (404, "no-store")
        browser.cookies.clear()
        assert browser.get(address).status_code == 401
        sign_in(make_user(member_of=project_of(slide)))
        assert browser.get(address).status_code == 200
    assert browser.get(f"/cells/{cell + 1}/thumbnail").status_code == 404


def project_of(slide: Slide) -> Project:
    with reading() as session:
        return session.get_one(Project, slide.project_id)


@pytest.mark.parametrize("damage", ["lost", "empty", "half"])
def test_a_lost_thumbnail_is_made_again(
    browser: TestClient, slide: Slide, work: Work, installation: Path, damage: str
) -> None:
    cell = one_cell(browser, slide, work, "cell.png", picture(1, size=(400, 400)))
    before = browser.get(f"/cells/{cell}/thumbnail").content
    (stored,) = [path for path in (installation / "files" / "thumbnails").rglob("*") if path.is_file()]
    if damage == "lost":
        stored.unlink()
    else:
        stored.write_bytes(b"" if damage == "empty" else before[: len(before) // 2])
    answer = browser.get(f"/cells/{cell}/thumbnail")
    assert opened(answer.content).size == opened(before).size == (200, 200)
    assert stored.read_bytes() == answer.content


def test_a_lost_original_is_said(browser: TestClient, slide: Slide, work: Work, installation: Path) -> None:
    cell = one_cell(browser, slide, work, "cell.png", picture(1))
    for path in (installation / "files" / "images").rglob("*"):
        if path.is_file():
            path.unlink()
    assert browser.get(f"/cells/{cell}/thumbnail").status_code == 200
    for name in ("image", "original"):
        answer = browser.get(f"/cells/{cell}/{name}")
        assert answer.status_code == 404
        assert "stored file of this image is missing" in answer.json()["detail"]


SECRET = "DOE^JANE 1970-01-01"


def identified(kind: str) -> bytes:
    """A picture with a patient's name in its metadata."""
    exif = PIL.Image.Exif()
    exif[0x010E] = SECRET
    options = {"exif": exif, "icc_profile": SECRET.encode()}
    if kind == "TIFF":
        options = {"tiffinfo": {0x010E: SECRET}}
    elif kind == "JPEG":
        options["comment"] = SECRET
    return picture(1, kind, (40, 40), **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_metadata_stays_in_the_original(browser: TestClient, slide: Slide, work: Work, kind: str) -> None:
    data = identified(kind)
    assert SECRET.encode() in data
    cell = one_cell(browser, slide, work, f"cell.{kind}", data)
    for name in ("thumbnail", "image"):
        answer = browser.get(f"/cells/{cell}/{name}")
        assert answer.headers["content-type"] in {"image/jpeg", "image/png"}
        assert b"DOE" not in answer.content
        assert opened(answer.content).size == (40, 40)


def test_an_original_is_only_downloaded(browser: TestClient, slide: Slide, work: Work) -> None:
    hostile = picture(1, "PNG") + b"<script>alert(1)</script>"
    with transaction() as session:
        session.get_one(Project, slide.project_id).keep_received = True
    cell = one_cell(browser, slide, work, "größe; x.html", hostile)
    answer = browser.get(f"/cells/{cell}/original")
    assert answer.content == hostile
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe%3B%20x.html"
    assert b"script" not in browser.get(f"/cells/{cell}/image").content


def test_pictures_look_as_the_encoder_sees_them(browser: TestClient, slide: Slide, work: Work) -> None:
    deep = io.BytesIO()
    PIL.Image.fromarray(np.full((20, 20), 2048, np.uint16)).save(deep, "TIFF")
    glass = io.BytesIO()
    PIL.Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(glass, "PNG")
    for name, data, shade in (("deep.tif", deep.getvalue(), 128), ("glass.png", glass.getvalue(), 255)):
        cell = one_cell(browser, slide, work, name, data)
        for view in ("image", "thumbnail"):
            pixels = np.asarray(opened(browser.get(f"/cells/{cell}/{view}").content).convert("RGB"))
            assert abs(int(pixels[10, 10, 0]) - shade) <= 2, (name, view)


def test_a_large_picture_is_made_smaller(browser: TestClient, slide: Slide, work: Work) -> None:
    cell = one_cell(browser, slide, work, "field.jpg", picture(1, "JPEG", (4096, 2048)))
    answer = browser.get(f"/cells/{cell}/image")
    assert (answer.headers["content-type"], opened(answer.content).size) == ("image/jpeg", (2048, 1024))


def test_a_thumbnail_costs_one_query_beside_the_sign_in(browser: TestClient, slide: Slide, work: Work, sign_in) -> None:
    cell = one_cell(browser, slide, work, "cell.png", picture(1))
    sign_in(make_user(member_of=project_of(slide)))
    browser.get(f"/cells/{cell}/thumbnail")
    queries = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        queries.append(statement)

    event.listen(engine(), "before_cursor_execute", note)
    assert browser.get(f"/cells/{cell}/thumbnail").status_code == 200
    event.remove(engine(), "before_cursor_execute", note)
    selects = [query for query in queries if query.lstrip().upper().startswith("SELECT")]
    assert len(selects) == 2, selects


def test_web_and_worker_accept_and_shrink_the_same() -> None:
    assert (pictures.FORMATS, pictures.THUMBNAIL) == (images.FORMATS, images.THUMBNAIL)
