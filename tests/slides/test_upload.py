"""Uploading images in the browser: what becomes a cell, what is refused, and what is said about it."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.db import reading
from app.models import Embedding, Image, Job, Project, Slide
from app.storage import get_storage
from tests.factories import make_project, make_slide, make_user
from tests.slides.uploading import (
    begin,
    cell_names,
    complete,
    counts,
    image_count,
    picture,
    pictures,
    refused,
    send,
    state,
    upload,
    zipped,
)

Work = Callable[[], int]


def animation() -> bytes:
    frames = [PIL.Image.fromarray(np.full((16, 16, 3), shade, np.uint8)) for shade in (0, 90, 255)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    return buffer.getvalue()


def huge_png() -> bytes:
    """The header of a PNG of 10,000 x 6,000 pixels; its pixels are never read."""
    header = struct.pack(">IIBBBBB", 10_000, 6_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def gif() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("P", (16, 16)).save(buffer, "GIF")
    return buffer.getvalue()


REFUSED = {
    "notes.txt": (b"patient list", "not an image"),
    "cut.jpg": (picture(1, "JPEG", (64, 64))[:-300], "truncated"),
    "broken.png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "damaged"),
    "wide.png": (huge_png(), "larger than 50 megapixels"),
    "moving.webp": (animation(), "animated"),
    "old.gif": (gif(), "wrong type: GIF"),
    "report.pdf": (b"%PDF-1.7 ...", "wrong type: PDF"),
    "empty.png": (b"", "the file is empty"),
    "dot.png": (picture(2, size=(4, 4)), "smaller than 8 pixels"),
    "fake.zip": (picture(3), "not a ZIP file, though its name says so"),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_every_format_becomes_a_cell_and_is_embedded(browser: TestClient, slide: Slide, work: Work, kind: str) -> None:
    upload_id = upload(browser, slide, [(f"cell.{kind.lower()}", picture(1, kind))])
    work()
    assert counts(upload_id) == (1, 0, 0)
    assert state(upload_id).finished_at is not None
    with reading() as session:
        assert session.scalar(select(func.count()).where(Embedding.vector.is_not(None))) == 1


def test_each_refused_file_is_listed_with_its_reason_and_the_others_go_through(
    browser: TestClient, slide: Slide, work: Work
) -> None:
    good = pictures(3)
    bad = [(name, data) for name, (data, _) in REFUSED.items()]
    upload_id = upload(browser, slide, [good[0], *bad, *good[1:]])
    work()
    assert counts(upload_id) == (3, 0, len(REFUSED))
    assert cell_names(slide) == [name for name, _ in good]
    reasons = refused(upload_id)
    for name, (_, reason) in REFUSED.items():
        assert reason in reasons[name], name
    address = f"/projects/{slide.project_id}/slides/{slide.id}"
    page, fragment = browser.get(address), browser.get(address, headers={"HX-Request": "true"})
    assert "<html" in page.text
    assert fragment.text.strip().startswith('<div id="progress"')
    for shown in (page.text, fragment.text):
        assert "Done, 10 refused" in shown
        assert all(name in shown for name in REFUSED)


def test_the_same_refusals_inside_a_zip(browser: TestClient, slide: Slide, work: Work) -> None:
    members = dict(pictures(2)) | {name: data for name, (data, _) in REFUSED.items() if name != "fake.zip"}
    upload_id = upload(browser, slide, [("all.zip", zipped(members))])
    work()
    assert counts(upload_id) == (2, 0, len(REFUSED) - 1)
    assert set(refused(upload_id)) == set(REFUSED) - {"fake.zip"}


def test_the_same_bytes_are_one_cell_of_a_slide(browser: TestClient, slide: Slide, work: Work) -> None:
    one, two = pictures(2)
    first = upload(browser, slide, [one, ("copy.png", one[1]), two])
    second = upload(browser, slide, [("again.zip", zipped([one, two, *pictures(1, start=9)]))])
    work()
    assert counts(first) == (2, 1, 0)
    assert counts(second) == (1, 2, 0)
    assert cell_names(slide) == ["cell-0.png", "cell-1.png", "cell-9.png"]
    page = browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    assert "<b>2</b> already on this slide" in page
    assert "<b>2</b> new cells" in page
    assert "<b>1</b> new cell<" in page


def test_the_same_bytes_on_another_slide_share_the_image(
    browser: TestClient, project: Project, slide: Slide, work: Work
) -> None:
    other = make_slide(project, accession="B-2")
    upload(browser, slide, pictures(3))
    work()
    upload_id = upload(browser, other, pictures(4, start=1))
    work()
    assert counts(upload_id) == (4, 0, 0)
    assert image_count() == 5
    page = browser.get(f"/projects/{project.id}/slides/{other.id}").text
    assert "2 of them were already stored with slide" in page
    assert slide.accession in page
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Embedding)) == 5
        asked_for = [job.progress_total for job in session.scalars(select(Job).where(Job.kind == "cells.embed"))]
    assert asked_for == [3, 2], "shared images are embedded once"


def test_slides_of_other_projects_are_not_named(
    browser: TestClient, project: Project, slide: Slide, sign_in, work: Work
) -> None:
    foreign = make_slide(make_project(), accession="SECRET-1")
    sign_in(make_user(role="manager"))
    upload(browser, foreign, pictures(2))
    work()
    sign_in(make_user(member_of=project))
    upload_id = upload(browser, slide, pictures(2))
    work()
    assert counts(upload_id) == (2, 0, 0)
    assert image_count() == 2
    page = browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    assert "already stored" not in page
    assert "SECRET-1" not in page


def test_an_upload_in_several_requests(browser: TestClient, slide: Slide, work: Work) -> None:
    upload_id = begin(browser, slide, 6)
    assert send(browser, upload_id, pictures(3)).json() == {"new": 3, "known": 0}
    work()
    assert counts(upload_id) == (3, 0, 0)
    assert state(upload_id).finished_at is None
    assert send(browser, upload_id, pictures(3, start=3)).json() == {"new": 3, "known": 0}
    complete(browser, upload_id)
    work()
    assert counts(upload_id) == (6, 0, 0)
    assert state(upload_id).finished_at is not None


def test_files_sent_again_after_a_lost_answer_are_recognised(browser: TestClient, slide: Slide, work: Work) -> None:
    upload_id = begin(browser, slide, 5)
    send(browser, upload_id, pictures(3))
    work()
    assert send(browser, upload_id, pictures(5)).json() == {"new": 2, "known": 3}
    work()
    assert counts(upload_id) == (5, 0, 0)
    assert state(upload_id).finished_at is not None, "all that was announced arrived, so nobody has to say it"
    assert send(browser, upload_id, pictures(5)).json() == {"new": 0, "known": 5}
    assert complete(browser, upload_id).status_code == 200
    work()
    assert counts(upload_id) == (5, 0, 0)
    assert state(upload_id).received_files == 5
    refusal = send(browser, upload_id, pictures(1, start=50))
    assert refusal.status_code == 409
    assert "takes no more files" in refusal.json()["detail"]


def test_a_sender_that_was_cut_off_can_go_on_or_finish(browser: TestClient, slide: Slide, work: Work) -> None:
    page = f"/projects/{slide.project_id}/slides/{slide.id}"
    upload_id = begin(browser, slide, 300)
    send(browser, upload_id, pictures(12))
    work()
    assert "Sending stopped" not in browser.get(page).text
    assert browser.post(f"/uploads/{upload_id}/stopped").status_code == 204
    text = browser.get(page).text
    assert "Sending stopped after 12 of 300 files." in text
    assert "those already here are recognised" in text

    send(browser, upload_id, pictures(1, start=20))
    assert "Sending stopped" not in browser.get(page).text
    done = browser.post(f"/uploads/{upload_id}/complete", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, page)
    work()
    assert counts(upload_id) == (13, 0, 0)
    assert state(upload_id).finished_at is not None


def test_what_was_received_is_deleted_once_it_is_unpacked(
    browser: TestClient, slide: Slide, project: Project, work: Work, installation
) -> None:
    archive = ("cells.zip", zipped(pictures(3)))
    upload(browser, slide, [archive])
    open_upload = begin(browser, make_slide(project), 2)
    send(browser, open_upload, [archive])
    received = installation / "files" / "uploads"
    assert len([path for path in received.rglob("*") if path.is_file()]) == 1
    work()
    assert counts(open_upload) == (3, 0, 0)
    complete(browser, open_upload)
    work()
    assert not [path for path in received.rglob("*") if path.is_file()]
    assert send(browser, open_upload, [archive]).json() == {"new": 0, "known": 1}
    work()
    assert not [path for path in received.rglob("*") if path.is_file()]
    assert not list((installation / "files" / "tmp").iterdir())


def test_the_plain_form_works_without_scripts(browser: TestClient, slide: Slide, work: Work) -> None:
    page = f"/projects/{slide.project_id}/slides/{slide.id}"
    token = browser.headers.pop("X-CSRF-Token")
    parts = [("files", (name, data)) for name, data in pictures(2)]
    answer = browser.post(f"/slides/{slide.id}/images", data={"csrf_token": token}, files=parts, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    work()
    assert cell_names(slide) == ["cell-0.png", "cell-1.png"]
    nothing = browser.post(f"/slides/{slide.id}/images", data={"csrf_token": token}, files=[("files", ("", b""))])
    assert nothing.status_code == 422
    assert "choose at least one file" in nothing.json()["detail"]
    assert browser.post(f"/slides/{slide.id}/images", data={"csrf_token": "guessed"}).status_code == 403


def test_too_many_files_at_once_are_refused(browser: TestClient, slide: Slide) -> None:
    upload_id = begin(browser, slide, 201)
    answer = send(browser, upload_id, [(f"{n}.png", b"x") for n in range(201)])
    assert answer.status_code == 422
    assert "At most 200 files" in answer.json()["detail"]
    assert state(upload_id).received_files == 0


def test_strangers_find_no_upload(browser: TestClient, slide: Slide, sign_in) -> None:
    upload_id = begin(browser, slide, 1)
    sign_in(make_user())
    for answer in (
        send(browser, upload_id, pictures(1)),
        complete(browser, upload_id),
        browser.post(f"/uploads/{upload_id}/stopped"),
        browser.post(f"/uploads/{upload_id}/sending"),
        browser.post(f"/uploads/{upload_id}/retry"),
        browser.get(f"/uploads/{upload_id}/refused"),
        browser.post(f"/slides/{slide.id}/images", files=[("files", pictures(1)[0])]),
        browser.post(f"/slides/{slide.id}/uploads", json={"expected_files": 1, "expected_bytes": 1}),
        browser.get(f"/projects/{slide.project_id}/slides"),
        browser.get(f"/projects/{slide.project_id}/slides/{slide.id}"),
    ):
        assert answer.status_code == 404, answer.url
    assert state(upload_id).received_files == 0
    sign_in(make_user(role="manager"))
    assert send(browser, upload_id, pictures(1)).status_code == 200


def test_storage_keeps_the_original_bytes(browser: TestClient, slide: Slide, work: Work) -> None:
    data = picture(5, "JPEG")
    upload(browser, slide, [("cell.jpg", data)])
    work()
    with reading() as session:
        key = session.scalar(select(Image.sha256))
    assert get_storage().read(f"images/{key}") == data
