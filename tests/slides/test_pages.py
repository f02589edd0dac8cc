"""The list of slides, the form for a new one, and the page of one slide."""

import html
from collections.abc import Callable

from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import now, reading, transaction
from app.models import AuditEvent, Cell, CellClass, Project, Slide, Upload
from app.slides import queries
from tests.browsing import error_of
from tests.factories import make_project, make_scanner, make_slide, make_token, make_user
from tests.slides.uploading import begin, picture, pictures, upload

Work = Callable[[], int]


def create(browser: TestClient, project: Project, **values: object):
    return browser.post(f"/projects/{project.id}/slides", data=values, follow_redirects=False)


def test_a_new_slide_is_created_audited_and_opened(browser: TestClient, project: Project) -> None:
    scanner = make_scanner(project)
    answer = create(browser, project, accession="  24-00117 ", scanner_id=scanner.id)
    assert answer.status_code == 303
    page = browser.get(answer.headers["location"])
    assert "Slide 24-00117" in page.text
    assert scanner.name in page.text
    with reading() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.what == "slide.created")).one()
    assert event.detail["accession"] == "24-00117"
    assert event.user_id is not None


def test_a_refused_slide_keeps_what_was_typed_and_names_the_field(browser: TestClient, project: Project) -> None:
    scanner = make_scanner(project)
    create(browser, project, accession="A-1", scanner_id=scanner.id)
    cases = [
        (
            {"accession": "A-1", "scanner_id": scanner.id},
            409,
            "accession",
            "There is a slide A-1 in this project already.",
        ),
        ({"accession": " ", "scanner_id": scanner.id}, 422, "accession", "Please fill this in."),
        ({"accession": "x" * 65, "scanner_id": scanner.id}, 422, "accession", "At most 64 characters, please."),
        (
            {"accession": "a\u202eb", "scanner_id": scanner.id},
            422,
            "accession",
            "Please leave out line breaks and control characters.",
        ),
        ({"accession": "A-2", "scanner_id": 999}, 422, "scanner_id", "This project has no such scanner."),
    ]
    for values, status, field, reason in cases:
        answer = create(browser, project, **values)
        assert answer.status_code == status
        assert error_of(answer, field) == reason
        assert f'value="{html.escape(str(values["accession"]))}"' in answer.text
    foreign = make_scanner(make_project())
    assert create(browser, project, accession="A-3", scanner_id=foreign.id).status_code == 422
    with reading() as session:
        assert len(session.scalars(select(Slide)).all()) == 1


def test_the_same_accession_may_occur_in_two_projects(browser: TestClient, project: Project, sign_in) -> None:
    sign_in(make_user(role="manager"))
    for each in (project, make_project()):
        assert create(browser, each, accession="A-1", scanner_id=make_scanner(each).id).status_code == 303


def test_the_list_counts_cells_labels_and_open_uploads(
    browser: TestClient, project: Project, slide: Slide, work: Work
) -> None:
    upload(browser, slide, pictures(3))
    work()
    begin(browser, slide, 5)
    with transaction() as session:
        label = session.scalars(select(CellClass.id).where(CellClass.project_id == project.id)).first()
        session.scalars(select(Cell)).first().class_id = label
    page = browser.get(f"/projects/{project.id}/slides").text
    row = page[page.index(slide.accession) : page.index("</tr>", page.index(slide.accession))]
    assert '<td class="num">3</td>' in row
    assert '<td class="num">1</td>' in row
    assert "receiving" in row


def test_many_slides_are_paged_newest_first(browser: TestClient, project: Project, monkeypatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    slides = [make_slide(project, accession=f"S-{number}") for number in range(5)]
    address, seen = f"/projects/{project.id}/slides", []
    while address:
        page = browser.get(address).text
        seen += [slide.accession for slide in reversed(slides) if f">{slide.accession}<" in page]
        address = html.unescape(page.split('rel="next" href="')[1].split('"')[0]) if 'rel="next"' in page else ""
    assert seen == ["S-4", "S-3", "S-2", "S-1", "S-0"]


def test_a_project_without_scanners_says_what_to_do_first(browser: TestClient, project: Project) -> None:
    page = browser.get(f"/projects/{project.id}/slides").text
    assert "Add a scanner" in page
    assert "Create slide" not in page


def test_a_slide_is_found_under_its_own_project_only(browser: TestClient, slide: Slide, sign_in) -> None:
    sign_in(make_user(role="manager"))
    other = make_project()
    assert browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").status_code == 200
    assert browser.get(f"/projects/{other.id}/slides/{slide.id}").status_code == 404


def test_hostile_text_is_shown_as_text(browser: TestClient, project: Project, work: Work) -> None:
    scanner = make_scanner(project, name="<b>DM96</b>")
    answer = create(browser, project, accession="<script>alert(1)</script>", scanner_id=scanner.id)
    page = browser.get(answer.headers["location"]).text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>DM96" not in page


def test_a_silent_sender_counts_as_stopped(browser: TestClient, slide: Slide) -> None:
    upload_id = begin(browser, slide, 5)
    address = f"/projects/{slide.project_id}/slides/{slide.id}"

    def silent_for(seconds: float) -> str:
        with transaction() as session:
            session.get_one(Upload, upload_id).heard_at = now() - queries.SILENCE * seconds
        return browser.get(address).text

    assert "Sending stopped" not in silent_for(0.9)
    assert "Sending stopped after 0 of 5 files." in silent_for(1.1)
    assert browser.post(f"/uploads/{upload_id}/sending").status_code == 204
    assert "Sending stopped" not in browser.get(address).text


def test_reasons_are_stored_once_and_read_in_ones_own_language(browser: TestClient, slide: Slide, work: Work) -> None:
    files = [("empty.png", b""), ("low.png", picture(1, size=(24, 3))), ("note.txt", b"no"), ("good.png", picture(2))]
    upload_id = upload(browser, slide, files)
    work()
    for language, empty, low in [
        ("en", "not an image: the file is empty", "pixels: 24 x 3"),
        ("de", "kein Bild: Die Datei", "Pixel: 24 x 3"),
    ]:
        page = browser.get(f"/uploads/{upload_id}/refused", headers={"Accept-Language": language}).text
        assert empty in page
        assert low in page
    german = {"Accept-Language": "de", "Authorization": f"Bearer {make_token(make_user('manager'), scopes=('read',))}"}
    assert browser.get("/api/v1/jobs/1", headers=german).json()["upload"]["refusals"][0]["reason"].startswith(empty)
