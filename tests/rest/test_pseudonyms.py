"""A pseudonymous project finds its slides by their accession numbers and keeps none of them, nor names of files."""

import base64
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import secret
from app.db import reading
from app.models import Project, Slide, User
from tests import factories
from tests.browsing import error_of, submit
from tests.kept import everything_kept
from tests.rest.conftest import Api
from tests.slides.uploading import picture, refused, upload, zipped

NUMBER = "2026-MEIER-4711"


@pytest.fixture
def lab(api: Api, fake_encoder: None) -> tuple[TestClient, str, int]:
    """A REST client, the path of a pseudonymous project, and its scanner."""
    client = api()
    made = client.post("/projects", json={"name": "Blood", "template": "acevedo-8", "pseudonyms": True})
    path = made.headers["location"].removeprefix("/api/v1")
    return client, path, client.post(f"{path}/scanners", json={"name": "DM96"}).json()["id"]


def test_clients_go_on_with_the_number_they_know(
    lab: tuple[TestClient, str, int], caplog: pytest.LogCaptureFixture, installation: Path
) -> None:
    client, project, scanner = lab
    caplog.set_level(logging.DEBUG)
    body, headers = {"accession": NUMBER, "scanner_id": scanner}, {"Idempotency-Key": f"slide-{NUMBER}"}
    made = client.post(f"{project}/slides", json=body, headers=headers)
    pseudonym = made.json()["accession"]
    assert (made.status_code, len(pseudonym), pseudonym.count("-")) == (201, 14, 2)
    again = client.post(f"{project}/slides", json=body, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == made.json()
    for wanted in (NUMBER, pseudonym, pseudonym.lower()):
        [found] = client.get(f"{project}/slides", params={"accession": wanted}).json()["items"]
        assert found == made.json()
    assert client.get(f"{project}/slides", params={"accession": NUMBER + "2"}).json()["items"] == []
    for known in (NUMBER, pseudonym):
        conflict = client.post(f"{project}/slides", json=body | {"accession": known})
        assert (conflict.status_code, conflict.json()["slide_id"]) == (409, made.json()["id"])
        assert NUMBER not in conflict.text
    # The client of the test logs what it asks for.
    assert NUMBER not in made.text + "".join(each.getMessage() for each in caplog.records if each.name[:5] != "httpx")
    assert not [place for place, kept in everything_kept(installation) if NUMBER.encode() in kept]


def test_pseudonyms_need_the_key_and_differ_between_projects(
    lab: tuple[TestClient, str, int], installation: Path
) -> None:
    client, project, scanner = lab
    body = {"accession": NUMBER, "scanner_id": scanner}
    first = client.post(f"{project}/slides", json=body).json()["accession"]
    assert (installation / "secret.key").stat().st_mode & 0o777 == 0o600
    other = client.post("/projects", json={"name": "Marrow", "template": "acevedo-8", "pseudonyms": True}).json()["id"]
    scanner = client.post(f"/projects/{other}/scanners", json={"name": "DM96"}).json()["id"]
    assert client.post(f"/projects/{other}/slides", json=body | {"scanner_id": scanner}).json()["accession"] != first

    kept = (installation / "secret.key").read_text()
    (installation / "secret.key").unlink()
    secret._key.cache_clear()
    lost = client.get(f"{project}/slides", params={"accession": NUMBER})
    assert (lost.status_code, "secret.key" in lost.json()["detail"]) == (500, True)
    (installation / "secret.key").write_text(kept)
    secret._key.cache_clear()
    assert len(client.get(f"{project}/slides", params={"accession": NUMBER}).json()["items"]) == 1


def test_people_find_slides_by_number_and_see_pseudonyms(
    client: TestClient, sign_in: Callable[[User], TestClient]
) -> None:
    project = factories.make_project()
    scanner = factories.make_scanner(project)
    browser = sign_in(factories.make_user("manager"))
    settings = f"/projects/{project.id}/settings"
    choice = {"pseudonyms": "1", "retention_cells": "1"}
    assert submit(browser, settings, f"/projects/{project.id}/privacy", **choice).status_code == 303
    slides = f"/projects/{project.id}/slides"
    made = submit(browser, slides, accession=NUMBER, scanner_id=scanner.id)
    found = submit(browser, slides, f"{slides}/find", wanted=f" {NUMBER} ")
    assert (made.status_code, found.headers["location"]) == (303, made.headers["location"])
    again = submit(browser, slides, accession=NUMBER, scanner_id=scanner.id)
    nothing = submit(browser, slides, f"{slides}/find", wanted="2026-SCHMIDT")
    assert (again.status_code, nothing.status_code) == (409, 422)
    assert error_of(nothing, "wanted") == "This project has no slide with this accession."
    pages = [again.text, browser.get(slides).text, browser.get(found.headers["location"]).text]
    pages.append(browser.get(f"/projects/{project.id}/audit").text)
    with reading() as session:
        pseudonym = session.scalars(select(Slide.accession)).one()
    assert all(pseudonym in page and NUMBER not in page for page in pages)

    refusal = submit(browser, settings, f"/projects/{project.id}/privacy", retention_cells="1")
    assert (refusal.status_code, "cannot be shown again" in error_of(refusal, "pseudonyms")) == (422, True)


def test_a_project_with_slides_stays_as_it_is(client: TestClient, sign_in: Callable[[User], TestClient]) -> None:
    project = factories.make_project()
    factories.make_slide(project)
    browser = sign_in(factories.make_user("manager"))
    answer = submit(
        browser, f"/projects/{project.id}/settings", f"/projects/{project.id}/privacy", pseudonyms="1",
        retention_days="30",
    )  # fmt: skip
    assert (answer.status_code, "Make a new project" in error_of(answer, "pseudonyms")) == (422, True)
    with reading() as session:
        assert session.get_one(Project, project.id).retention_days is None


def test_file_names_are_not_kept(
    lab: tuple[TestClient, str, int],
    client: TestClient,
    sign_in: Callable[[User], TestClient],
    installation: Path,
    work: Callable[[], int],
) -> None:
    rest, project, scanner = lab
    made = rest.post(f"{project}/slides", json={"accession": NUMBER, "scanner_id": scanner}).json()
    with reading() as session:
        slide = session.get_one(Slide, made["id"])
    browser = sign_in(factories.make_user("manager"))
    archive = zipped([("Anna Meier/1.PNG", picture(1)), ("Anna Meier/2.txt", b"Anna Meier"), (".DS_Store", b"x")])
    files = [("Anna Meier.zip", archive), ("meier.png", picture(2)), ("meier.docx", b"none"), (".DS_Store", b"x")]
    first = upload(browser, slide, files)
    work()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
    tus["Upload-Metadata"] = f"filename {base64.b64encode(b'Anna Meier.svs').decode()}"
    assert rest.post(f"/slides/{slide.id}/uploads", headers=tus).status_code == 201
    names = {cell["name"] for cell in rest.get(f"/slides/{slide.id}/cells").json()["items"]}
    assert {name[8:] for name in names} == {".zip/1.png", ".png"}
    assert {name[8:] for name in refused(first)} == {".zip/2", ""}
    shown = browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    assert "meier" not in shown.lower()
    assert not [place for place, kept in everything_kept(installation) if b"meier" in kept.lower()]
