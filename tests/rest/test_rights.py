"""Who may do what: every route x role x ownership, generated from the routes the application has."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.main import app
from tests import factories
from tests.everything import UNKNOWN, Everything, make_everything
from tests.rest.conftest import Api
from tests.routes import in_path

OF_MANAGERS = {
    "POST /projects/{project_id}/mappings",
    "POST /projects",
    "PATCH /projects/{project_id}",
    "POST /projects/{project_id}/classes",
    "PATCH /projects/{project_id}/classes/{class_id}",
    "DELETE /projects/{project_id}/classes/{class_id}",
    "POST /projects/{project_id}/scanners",
    "POST /classifiers/{classifier_id}/activate",
    "POST /classifiers/{classifier_id}/keep",
    "POST /classifiers/{classifier_id}/previews",
    "GET /classifiers/{classifier_id}/previews/{scanner_id}",
    "POST /scanners/{scanner_id}/rollback",
    "POST /projects/{project_id}/pretrainings",
    "POST /pretrainings/{run_id}/pause",
    "POST /pretrainings/{run_id}/resume",
    "POST /pretrainings/{run_id}/cancel",
    "POST /projects/{project_id}/webhooks",
    "GET /projects/{project_id}/webhooks",
    "GET /webhooks/{webhook_id}",
    "PATCH /webhooks/{webhook_id}",
    "DELETE /webhooks/{webhook_id}",
    "POST /webhooks/{webhook_id}/secret",
    "POST /webhooks/{webhook_id}/test",
    "GET /webhooks/{webhook_id}/deliveries",
    "POST /deliveries/{delivery_id}/send",
    "POST /scanners/{scanner_id}/adaptation",
    "POST /scanners/{scanner_id}/adaptation/comparisons",
    "POST /scanners/{scanner_id}/adaptation/decision",
    "POST /scanners/{scanner_id}/watching",
}
OF_MEMBERS = {
    "GET /projects/{project_id}/mappings",
    "GET /mappings/{mapping_id}",
    "GET /mappings/{mapping_id}/metrics",
    "GET /projects/{project_id}",
    "GET /projects/{project_id}/class-sets",
    "GET /projects/{project_id}/classes/{class_id}",
    "GET /projects/{project_id}/scanners",
    "POST /projects/{project_id}/slides",
    "GET /projects/{project_id}/slides",
    "POST /slides/{slide_id}/images",
    "POST /slides/{slide_id}/complete",
    "POST /slides/{slide_id}/known",
    "POST /slides/{slide_id}/uploads",
    "HEAD /uploads/{upload_id}",
    "PATCH /uploads/{upload_id}",
    "DELETE /uploads/{upload_id}",
    "GET /slides/{slide_id}/cells",
    "GET /slides/{slide_id}/fields",
    "POST /fields/{field_id}/boxes",
    "POST /fields/{field_id}/removals",
    "GET /cells/{cell_id}/image",
    "GET /cells/{cell_id}/thumbnail",
    "POST /projects/{project_id}/annotations",
    "POST /projects/{project_id}/annotations/import",
    "GET /projects/{project_id}/annotations",
    "GET /projects/{project_id}/predictions",
    "GET /cells/{cell_id}",
    "GET /slides/{slide_id}",
    "GET /slides/{slide_id}/reports",
    "GET /reports/{report_id}",
    "GET /slides/{slide_id}/report/{kind}",
    "GET /reports/{report_id}/{kind}",
    "GET /projects/{project_id}/classifiers",
    "GET /projects/{project_id}/pretrainings",
    "GET /scanners/{scanner_id}/adaptation",
    "GET /scanners/{scanner_id}/watching",
    "POST /alarms/{alarm_id}/settlement",
    "POST /slides/{slide_id}/runs",
    "GET /pretrainings/{run_id}",
    "GET /jobs/{job_id}",
}
# What the one of everything is not ready for, or not any more once a member did it.
REFUSED = {
    "GET /mappings/{mapping_id}/metrics": 404,
    "POST /scanners/{scanner_id}/adaptation": 409,
    "POST /scanners/{scanner_id}/adaptation/decision": 422,
    "POST /classifiers/{classifier_id}/activate": 409,
    "POST /classifiers/{classifier_id}/keep": 409,
    "POST /scanners/{scanner_id}/rollback": 409,
    "POST /scanners/{scanner_id}/watching": 409,
    "POST /alarms/{alarm_id}/settlement": 409,
    "POST /projects/{project_id}/pretrainings": 422,
    "POST /pretrainings/{run_id}/pause": 409,
    "POST /slides/{slide_id}/complete": 409,
    "POST /fields/{field_id}/removals": 404,
    "PATCH /uploads/{upload_id}": 409,
    "DELETE /uploads/{upload_id}": 404,
    "GET /slides/{slide_id}/report/{kind}": 409,
    "GET /reports/{report_id}/{kind}": 409,
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


def json_bodies(ids: Mapping[str, Any]) -> dict[str, Any]:
    """What each route that takes JSON accepts."""
    new = f"New {next(factories.numbers)}"
    return {
        "POST /projects": {"name": new},
        "PATCH /projects/{project_id}": {"name": new},
        "POST /projects/{project_id}/classes": {"code": "EOS", "name": new},
        "PATCH /projects/{project_id}/classes/{class_id}": {"name": new},
        "POST /projects/{project_id}/scanners": {"name": new},
        "POST /projects/{project_id}/mappings": {"name": new, "targets": {"NGS": "Neutrophil"}},
        "POST /projects/{project_id}/slides": {"accession": new, "scanner_id": ids["scanner_id"]},
        "POST /projects/{project_id}/annotations": {"items": [{"cell_id": ids["cell_id"], "class": "NGS"}]},
        "POST /fields/{field_id}/boxes": {"box": [0, 0, 20, 20]},
        "POST /fields/{field_id}/removals": {"cell_ids": [ids["cell_id"]]},
        "POST /classifiers/{classifier_id}/activate": {"scanner_id": ids["scanner_id"]},
        "POST /classifiers/{classifier_id}/previews": {"scanner_id": ids["scanner_id"]},
        "POST /classifiers/{classifier_id}/keep": {"name": new},
        "POST /projects/{project_id}/pretrainings": {"epochs": 1},
        "POST /projects/{project_id}/webhooks": {"url": "https://lis.example/", "events": ["slide.state_changed"]},
        "PATCH /webhooks/{webhook_id}": {"active": False},
        "POST /scanners/{scanner_id}/watching": {"reason": "Serviced"},
        "POST /slides/{slide_id}/runs": {"accession": new},
        "POST /alarms/{alarm_id}/settlement": {"note": "Stain renewed"},
        "POST /scanners/{scanner_id}/adaptation": {"cells": 50},
        "POST /scanners/{scanner_id}/adaptation/decision": {"candidate": "new", "reason": "Better"},
        "POST /slides/{slide_id}/known": {"files": [{"sha256": "0" * 64, "name": "a.png"}]},
    }


def ids_in(route: str) -> list[str]:
    return [name for name in in_path(route) if name.endswith("_id")]


def call(client: TestClient, route: str, ids: Mapping[str, Any]) -> int:
    return ask(client, route, ids).status_code


def ask(client: TestClient, route: str, ids: Mapping[str, Any]) -> Response:
    method, _, path = route.partition(" ")
    bodies = json_bodies(ids)
    body = {"json": bodies[route]} if route in bodies else {}
    if route.endswith("/annotations/import"):
        body = {"files": {"files": ("labels.csv", f"cell_id,class\n{ids['cell_id']},NGS\n")}}
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
    return answer


@pytest.fixture
def everything(installation: object, short_streams: None) -> Everything:
    return make_everything()


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_knows_roles_scopes_and_owners(api: Api, everything: Everything, route: str) -> None:
    project, ids = everything.project, everything.ids
    nobody = TestClient(app, base_url="http://testserver/api/v1")
    assert call(nobody, route, ids) == 401
    reading_only = call(api(scopes=["read"]), route, ids)
    assert (reading_only == 403) == (not route.startswith(("GET", "HEAD")))
    foreigner = api(factories.make_user(member_of=factories.make_project()))
    stranger = call(foreigner, route, ids)
    if "{" in route:
        foreign, unknown = (ask(foreigner, route, ids | each) for each in ({}, dict.fromkeys(ids_in(route), UNKNOWN)))
        assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
    member = call(api(factories.make_user(member_of=project)), route, ids)
    if route in OF_NOBODY_IN_PARTICULAR:
        assert stranger == member == 200
    else:
        assert stranger in ({403, 404} if route in OF_MANAGERS else {404})
        assert (member == 403) == (route in OF_MANAGERS)
        assert route in OF_MANAGERS | OF_MEMBERS, "say who may"
    assert call(api(), route, ids) in ({REFUSED[route]} if route in REFUSED else {200, 201, 202, 204})
    if "{" in route:
        assert call(api(), route, ids | dict.fromkeys(ids_in(route), UNKNOWN)) == 404
        assert call(api(), route, ids | dict.fromkeys(ids_in(route), 10**30)) == 422


def test_a_class_of_another_project_is_not_found(api: Api, installation: object) -> None:
    project, foreign = make_everything().project, make_everything().ids
    for method in ("GET", "PATCH", "DELETE"):
        path = f"/projects/{project.id}/classes/{foreign['class_id']}"
        body = {"json": {"name": "Other"}} if method == "PATCH" else {}
        assert api().request(method, path, **body).status_code == 404


def test_lists_show_only_what_is_yours(api: Api, everything: Everything) -> None:
    project = everything.project
    theirs = factories.make_project()
    member = api(factories.make_user(member_of=theirs))
    assert [each["id"] for each in member.get("/projects").json()["items"]] == [theirs.id]
    assert [each["id"] for each in api().get("/projects").json()["items"]] == [project.id, theirs.id]
