"""Who may do what: every route x role x ownership, generated from the routes the application has."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import jobs
from app.db import now, transaction
from app.main import app
from app.models import Classifier, Pretraining, Project, Upload
from app.projects import queries
from app.reports.queries import first_version
from tests import factories
from tests.rest.conftest import Api

OF_MANAGERS = {
    "POST /projects",
    "PATCH /projects/{project_id}",
    "POST /projects/{project_id}/classes",
    "PATCH /projects/{project_id}/classes/{class_id}",
    "DELETE /projects/{project_id}/classes/{class_id}",
    "POST /projects/{project_id}/scanners",
    "POST /classifiers/{classifier_id}/activate",
    "POST /projects/{project_id}/pretrainings",
    "POST /pretrainings/{run_id}/pause",
    "POST /pretrainings/{run_id}/resume",
    "POST /pretrainings/{run_id}/cancel",
}
# What the one of everything is not ready for, or not any more once a member did it.
REFUSED = {
    "POST /classifiers/{classifier_id}/activate": 409,
    "POST /projects/{project_id}/pretrainings": 422,
    "POST /pretrainings/{run_id}/pause": 409,
    "POST /slides/{slide_id}/complete": 409,
    "PATCH /uploads/{upload_id}": 409,
    "DELETE /uploads/{upload_id}": 409,
}
TUS = {
    "POST": {"Upload-Length": "3", "Upload-Metadata": "filename YS5wbmc="},
    "PATCH": {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
}
OF_NOBODY_IN_PARTICULAR = {"GET /projects", "GET /events"}  # they show what is yours


def routes() -> Iterator[str]:
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            yield f"{method.upper()} {path.removeprefix('/api/v1')}"


ROUTES = list(routes())


def make_everything() -> tuple[Project, dict[str, int]]:
    """A project with one of everything, and the ids by the names the paths use."""
    project = factories.make_project()
    scanner = factories.make_scanner(project)
    slide = factories.make_slide(project, scanner=scanner)
    [cell] = factories.make_cells(slide, ["NGS"])
    with transaction() as session:
        job = jobs.fit_classifier(session, project.id)
        classifier = Classifier(
            project_id=project.id, encoder_id=project.encoder_id, version=1, state="retired", head="ours", classes=[],
            labels=0, labels_sha256="", newest_annotation_id=0, cells_scored=0, predicted={}, artifact="", scores=None,
            fit_seconds=0, created_at=now(),
        )  # fmt: skip
        report = first_version(slide)
        run = Pretraining(
            project_id=project.id, start_encoder_id=project.encoder_id, epochs=1, most_images=256, state="paused",
            created_at=now(),
        )  # fmt: skip
        upload = Upload(
            slide_id=slide.id,
            expected_files=1,
            expected_bytes=3,
            resumable_name="a.png",
            created_at=now(),
            heard_at=now(),
        )
        session.add_all([classifier, report, run, upload])
        session.flush()
    class_id = _class_id(project)
    return project, {
        "project_id": project.id,
        "class_id": class_id,
        "scanner_id": scanner.id,
        "slide_id": slide.id,
        "cell_id": cell,
        "job_id": job,
        "classifier_id": classifier.id,
        "report_id": report.id,
        "run_id": run.id,
        "upload_id": upload.id,
    }


def _class_id(project: Project) -> int:
    with transaction() as session:
        return next(each.id for each in queries.classes(session, project) if each.code == "LYT")


def json_bodies(ids: dict[str, int]) -> dict[str, Any]:
    """What each route that takes JSON accepts."""
    new = f"New {next(factories.numbers)}"
    return {
        "POST /projects": {"name": new},
        "PATCH /projects/{project_id}": {"name": new},
        "POST /projects/{project_id}/classes": {"code": "EOS", "name": new},
        "PATCH /projects/{project_id}/classes/{class_id}": {"name": new},
        "POST /projects/{project_id}/scanners": {"name": new},
        "POST /projects/{project_id}/slides": {"accession": new, "scanner_id": ids["scanner_id"]},
        "POST /projects/{project_id}/annotations": {"items": [{"cell_id": ids["cell_id"], "class": "NGS"}]},
        "POST /classifiers/{classifier_id}/activate": {"scanner_id": ids["scanner_id"]},
        "POST /projects/{project_id}/pretrainings": {"epochs": 1},
        "POST /slides/{slide_id}/known": {"files": [{"sha256": "0" * 64, "name": "a.png"}]},
    }


def call(client: TestClient, route: str, ids: dict[str, int]) -> int:
    method, _, path = route.partition(" ")
    bodies = json_bodies(ids)
    body = {"json": bodies[route]} if route in bodies else {}
    if route.endswith("/images"):
        body = {"files": {"files": ("a.png", factories.cell_image("NGS", 1))}}
    if "/uploads" in route:
        body = {
            "headers": {"Tus-Resumable": "1.0.0", **TUS.get(method, {})},
            "content": b"abc" if method == "PATCH" else b"",
        }
    answer = client.request(method, path.format(**ids), **body)
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
    return answer.status_code


def in_path(route: str) -> list[str]:
    return re.findall(r"{(\w+)}", route)


@pytest.fixture
def everything(installation: object, short_streams: None) -> tuple[Project, dict[str, int]]:
    return make_everything()


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_knows_roles_scopes_and_owners(
    api: Api, everything: tuple[Project, dict[str, int]], route: str
) -> None:
    project, ids = everything
    nobody = TestClient(app, base_url="http://testserver/api/v1")
    assert call(nobody, route, ids) == 401
    reading_only = call(api(scopes=["read"]), route, ids)
    assert (reading_only == 403) == (not route.startswith(("GET", "HEAD")))
    stranger = call(api(factories.make_user(member_of=factories.make_project())), route, ids)
    member = call(api(factories.make_user(member_of=project)), route, ids)
    if route in OF_NOBODY_IN_PARTICULAR:
        assert stranger == member == 200
    else:
        assert stranger in ({403, 404} if route in OF_MANAGERS else {404})
        assert (member == 403) == (route in OF_MANAGERS)
    assert call(api(), route, ids) in ({REFUSED[route]} if route in REFUSED else {200, 201, 202, 204})
    if "{" in route:
        assert call(api(), route, ids | dict.fromkeys(in_path(route), 2**31 - 1)) == 404
        assert call(api(), route, ids | dict.fromkeys(in_path(route), 10**30)) == 422


def test_a_class_of_another_project_is_not_found(api: Api, installation: object) -> None:
    project, _ = make_everything()
    _, foreign = make_everything()
    for method in ("GET", "PATCH", "DELETE"):
        path = f"/projects/{project.id}/classes/{foreign['class_id']}"
        body = {"json": {"name": "Other"}} if method == "PATCH" else {}
        assert api().request(method, path, **body).status_code == 404


def test_lists_show_only_what_is_yours(api: Api, everything: tuple[Project, dict[str, int]]) -> None:
    project, _ = everything
    theirs = factories.make_project()
    member = api(factories.make_user(member_of=theirs))
    assert [each["id"] for each in member.get("/projects").json()["items"]] == [theirs.id]
    assert [each["id"] for each in api().get("/projects").json()["items"]] == [project.id, theirs.id]
