"""What every client may rely on: problem documents, cursors, ETags, events, and a description that is true."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from app.db import transaction
from app.events import publish
from app.main import app
from tests import factories
from tests.rest.conftest import Api

BODY = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/projects/999", {}, 404),
        ("GET", "/no/such/path", {}, 404),
        ("DELETE", "/projects", {}, 405),
        ("GET", "/projects?limit=many", {}, 422),
        ("GET", "/projects?cursor=-1", {}, 422),
        ("GET", f"/projects?cursor={10**20}", {}, 422),
        ("POST", "/projects", {"content": b"{", "headers": BODY}, 422),
        ("POST", "/projects", {"content": b'{"name": "\xff"}', "headers": BODY}, 400),
        ("POST", "/projects", {"json": {"name": "Blood", "colour": "red"}}, 422),
        ("POST", "/projects", {"content": b" " * 9_000_000, "headers": BODY}, 413),
        ("POST", "/projects", {"content": [b" " * 5_000_000] * 2, "headers": BODY}, 413),
    ],
)
def test_every_error_is_a_problem_document(api: Api, method: str, path: str, more: dict[str, Any], status: int) -> None:
    for accept in ("application/json", "text/html"):
        options = {**more, "headers": {**more.get("headers", {}), "Accept": accept}}
        if isinstance(options.get("content"), list):
            options["content"] = iter(options["content"])  # sent in pieces, without its length being announced
        answer = api().request(method, path, **options)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["title"]
        assert problem["detail"]
        if status == 405:
            assert answer.headers["allow"]


def test_errors_of_addresses_and_bodies_say_what_is_wrong(api: Api) -> None:
    client = api()
    assert client.get("/nothing").json()["detail"] == "There is nothing at this address."
    assert client.delete("/projects").json()["detail"] == "Nothing at this address answers this kind of request."
    problem = client.post("/projects", content=b'{"name": ', headers=BODY).json()
    assert problem["errors"] == [{"field": "body", "reason": "JSON decode error"}]


def test_a_token_is_asked_for_by_name(client: TestClient) -> None:
    for headers, challenge in (({}, "Bearer"), ({"Authorization": "Bearer wrong"}, 'Bearer error="invalid_token"')):
        answer = client.get("/api/v1/projects", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == challenge
        assert answer.headers["content-type"] == "application/problem+json"


def test_pages_hold_each_item_once_while_others_are_added(api: Api) -> None:
    client = api()
    ids = [factories.make_project().id for _ in range(5)]
    first = client.get("/projects", params={"limit": 3}).json()
    assert [each["id"] for each in first["items"]] == ids[:3]
    ids.append(factories.make_project().id)
    second = client.get("/projects", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [each["id"] for each in second["items"]] == ids[3:]
    assert second["next_cursor"] is None


def test_classes_are_changed_by_who_has_read_them(api: Api) -> None:
    client = api()
    path = f"/projects/{factories.make_project(['NGS', 'LYT']).id}/classes"
    created = client.post(path, json={"code": "NGB", "name": "Band", "parent": "NGS"})
    assert created.json() == {**created.json(), "code": "NGB", "key": "g", "parent": "NGS"}
    band = created.headers["location"].removeprefix("/api/v1")
    tag = client.get(band).headers["etag"]
    changed = client.patch(band, json={"name": "Band neutrophil", "key": None}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.json() == {**created.json(), "name": "Band neutrophil", "key": None}
    assert changed.headers["etag"] == client.get(band).headers["etag"] != tag
    late = client.patch(band, json={"name": "Rod"}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["title"]) == (412, "Changed meanwhile")
    assert client.delete(band, headers={"If-Match": tag}).status_code == 412
    assert client.patch(band, json={"parent": None}).json()["parent"] is None
    assert client.patch(band, json={"code": "NGS"}).status_code == 422
    assert client.delete(band, headers={"If-Match": f'"other", {client.get(band).headers["etag"]}'}).status_code == 204
    assert client.get(band).status_code == 404


def test_a_class_with_annotations_stays(api: Api) -> None:
    client = api()
    project = factories.make_project()
    [cell] = factories.make_cells(factories.make_slide(project), ["NGS"])
    client.post(f"/projects/{project.id}/annotations", json={"items": [{"cell_id": cell, "class": "NGS"}]})
    ids = {each["code"]: each["id"] for each in client.get(f"/projects/{project.id}").json()["classes"]}
    refused = client.delete(f"/projects/{project.id}/classes/{ids['NGS']}")
    assert (refused.status_code, "annotation" in refused.json()["detail"]) == (409, True)
    assert client.delete(f"/projects/{project.id}/classes/{ids['LYT']}").status_code == 204


def test_projects_are_renamed_by_who_has_read_them(api: Api) -> None:
    client = api()
    path = f"/projects/{factories.make_project(name='Blood').id}"
    tag = client.get(path).headers["etag"]
    assert client.patch(path, json={"name": "Marrow"}, headers={"If-Match": tag}).json()["name"] == "Marrow"
    assert client.patch(path, json={"name": "Lymph"}, headers={"If-Match": tag}).status_code == 412
    assert client.get(path).json()["name"] == "Marrow"


def test_a_project_may_start_from_a_template(api: Api, fake_encoder: None) -> None:
    client = api()
    made = client.post("/projects", json={"name": "Blood", "template": "acevedo-8"})
    project = client.get(made.headers["location"].removeprefix("/api/v1")).json()
    assert len(project["classes"]) == len({each["color"] for each in project["classes"]}) == 8
    both = {"name": "Marrow", "template": "acevedo-8", "classes": [{"code": "A", "name": "A"}]}
    for wrong in (both, {"name": "Marrow", "template": "unknown"}, {"name": "Blood"}):
        assert client.post("/projects", json=wrong).status_code == 422


def test_classes_get_free_keys_and_colours(api: Api, fake_encoder: None) -> None:
    client = api()
    classes = [
        {"code": "EBO", "name": "Erythroblast"},
        {"code": "EOS", "name": "Eosinophil", "key": "e"},
        {"code": "E", "name": "E"},
        {"code": "BAS", "name": "Basophil", "key": None, "parent": "EBO"},
    ]
    made = client.post("/projects", json={"name": "Blood", "classes": classes})
    project = client.get(made.headers["location"].removeprefix("/api/v1")).json()
    assert [each["key"] for each in project["classes"]] == ["b", "e", None, None]
    assert len({each["color"] for each in project["classes"]}) == 4
    assert project["classes"][3]["parent"] == "EBO"


def test_slides_are_found_by_accession_and_occur_once(api: Api) -> None:
    client = api()
    project = factories.make_project()
    slide = factories.make_slide(project, accession="S-1")
    factories.make_slide(project)
    path = f"/projects/{project.id}/slides"
    [found] = client.get(path, params={"accession": "S-1"}).json()["items"]
    assert found["id"] == slide.id
    [of_scanner] = client.get(path, params={"scanner_id": slide.scanner_id}).json()["items"]
    assert of_scanner == found
    again = client.post(path, json={"accession": "S-1", "scanner_id": slide.scanner_id})
    assert (again.status_code, again.json()["slide_id"]) == (409, slide.id)


def events_of(client: TestClient, **params: Any) -> list[tuple[str, Any]]:
    """Everything since the first event that a client hears before the stream ends."""
    answer = client.get("/events", params=params, headers={"Last-Event-ID": "0"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.replace("\r\n", "\n").strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_events_are_those_of_ones_own_projects(api: Api, short_streams: None) -> None:
    mine, other = factories.make_project(), factories.make_project()
    with transaction() as session:
        publish(session, mine.id, "scores", {"version": 1})
        publish(session, other.id, "scores", {"version": 2})
    member = api(factories.make_user(member_of=mine))
    assert events_of(member) == [("scores", {"version": 1})]
    assert [data["version"] for _, data in events_of(api())] == [1, 2]
    assert events_of(api(), project_id=other.id) == [("scores", {"version": 2})]
    assert member.get("/events", params={"project_id": other.id}).status_code == 404


def test_the_description_is_valid_and_complete(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    validate(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            assert operation["summary"], name
            assert operation["description"], name
            assert operation["security"] == [{"HTTPBearer": []}], name
            assert {"401", "403", "422"} <= set(operation["responses"]), name
            assert ("404" in operation["responses"]) >= ("{" in path), name
            assert ("Idempotency-Key" in str(operation.get("parameters"))) == (method == "post"), name
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], name
                elif status not in {"204", "304"} and "/uploads" not in path:  # tus answers in headers
                    assert answer["content"], name
    served = {(route.path, method) for route in app.routes for method in getattr(route, "methods", None) or ()}
    assert ("/api/v1/docs", "GET") in served


def test_people_can_read_the_description(client: TestClient) -> None:
    page = client.get("/api/v1/docs", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.text.count("<h3") >= 20
    assert "POST /api/v1/slides/{slide_id}/images" in page.text
    for forbidden in ("<style", "style=", "onclick", "https://", "<script>"):
        assert forbidden not in page.text.partition("<main")[2]
