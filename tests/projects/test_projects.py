"""Creating projects, their settings, members and audit trail."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import CellClass, Encoder, Member, Project, Scanner, User
from app.projects import presets, service
from tests.browsing import error_of
from tests.factories import make_encoder, make_project, make_user

SignIn = Callable[[User], TestClient]


@pytest.fixture(autouse=True)
def encoder(installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """New projects use the fake encoder: the bundled one is a large file and not the subject here."""
    encoder = make_encoder()
    monkeypatch.setattr(service, "default_encoder", lambda session: session.get_one(Encoder, encoder.id))


def created() -> Project:
    with reading() as session:
        return session.scalars(select(Project)).one()


@pytest.mark.parametrize(
    ("preset", "number"), [("differential-5", 5), ("acevedo-8", 8), ("blood-15", 15), ("marrow-21", 21)]
)
def test_a_project_starts_from_a_set_of_classes(client: TestClient, sign_in: SignIn, preset: str, number: int) -> None:
    sign_in(make_user("manager"))
    form = {"name": "Ward 3", "preset": preset, "scanner": "DM96", "um_per_px": "0,1"}
    answer = client.post("/projects/new", data=form, follow_redirects=False)
    project = created()
    assert answer.headers["location"] == f"/projects/{project.id}/cells"
    with reading() as session:
        rows = session.scalars(select(CellClass).order_by(CellClass.position)).all()
        scanner = session.scalars(select(Scanner)).one()
    assert len(rows) == number
    assert [row.code for row in rows] == [each.code for each in presets.classes_of(preset)]
    assert (scanner.name, scanner.um_per_px) == ("DM96", 0.1)
    page = client.get(f"/projects/{project.id}/audit").text
    assert "Project created" in page
    assert "µm per pixel: 0.1" in page


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "Ward 1"}, "name"),
        ({"name": "Ward\0"}, "name"),
        ({"scanner": "DM96\0"}, "scanner"),
        ({"preset": "another"}, "preset"),
        ({"um_per_px": "small"}, "um_per_px"),
        ({"um_per_px": "-1"}, "um_per_px"),
        ({"um_per_px": "nan"}, "um_per_px"),
    ],
)
def test_a_refused_project_leaves_nothing(client: TestClient, sign_in: SignIn, values, field: str) -> None:
    make_project(name="Ward 1")
    sign_in(make_user("manager"))
    form = {"name": "Ward 3", "preset": "", "scanner": "DM96", "um_per_px": "", **values}
    refused = client.post("/projects/new", data=form)
    assert refused.status_code == 422
    assert error_of(refused, field) or 'class="error"' in refused.text
    assert 'value="DM96' in refused.text, "what was typed stays"
    assert created().name == "Ward 1"
    fine = client.post("/projects/new", data={"name": "Ward 3", "preset": ""}, follow_redirects=False)
    assert fine.headers["location"].endswith("/classes"), "a project without classes starts with them"


def test_the_list_shows_what_one_may_open(client: TestClient, sign_in: SignIn) -> None:
    mine, foreign = make_project(name="Mine"), make_project(name="Foreign", synthetic=True)
    sign_in(make_user(member_of=mine))
    page = client.get("/").text
    assert client.get("/projects").text == page
    assert "Mine" in page
    assert "Foreign" not in page
    assert "New project" not in page
    sign_in(make_user())
    assert "not a member of any project" in client.get("/").text
    sign_in(make_user("manager"))
    page = client.get("/").text
    assert "Mine" in page
    assert f'href="/projects/{foreign.id}/cells"' in page
    assert "generated cells" in page
    assert "New project" in page


PAGES = ("", "/team", "/classes", "/classes.css", "/settings", "/audit", "/scanners")
CHANGES = {
    "/classes": {"code": "X", "name": "X"},
    "/classes/{class_id}": {"code": "X", "name": "X", "version": "1"},
    "/classes/{class_id}/move": {"direction": "down"},
    "/classes/{class_id}/delete": {},
    "/settings": {"name": "Other"},
    "/timing": {"timed": "1"},
    "/members": {"user_id": "1"},
    "/members/{user_id}/remove": {},
    "/scanners": {"name": "Other"},
}


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_for_members_and_managers(client: TestClient, sign_in: SignIn, path: str) -> None:
    project, other = make_project(), make_project()
    url = f"/projects/{project.id}{path}"
    assert client.get(url, follow_redirects=False).status_code == 401
    for user, statuses in (
        (make_user(member_of=other), (404,)),
        (make_user("reviewer"), (404,)),
        (make_user(member_of=project), (200, 303)),
        (make_user("manager"), (200, 303)),
    ):
        sign_in(user)
        assert client.get(url, follow_redirects=False).status_code in statuses
        assert client.get(url.replace(str(project.id), "999"), follow_redirects=False).status_code == 404


@pytest.mark.parametrize("path", CHANGES)
def test_only_managers_change_a_project(client: TestClient, sign_in: SignIn, path: str) -> None:
    project = make_project()
    member = make_user(member_of=project)
    with reading() as session:
        row = session.scalars(select(CellClass).order_by(CellClass.position)).first()
    url = f"/projects/{project.id}" + path.format(class_id=row.id, user_id=member.id)
    assert client.post(url, data=CHANGES[path]).status_code == 401
    for user in (member, make_user("reviewer", member_of=project), make_user()):
        sign_in(user)
        assert client.post(url, data=CHANGES[path]).status_code == 403
    sign_in(make_user("manager"))
    assert client.post(url, data=CHANGES[path], follow_redirects=False).status_code == 303


def test_members_come_and_go(client: TestClient, sign_in: SignIn) -> None:
    project, person, manager = make_project(), make_user(), make_user("manager")
    sign_in(manager)
    assert client.post(f"/projects/{project.id}/members", data={"user_id": person.id}).status_code == 200
    assert client.post(f"/projects/{project.id}/members", data={"user_id": "nobody"}).status_code == 422
    sign_in(person)
    assert client.get(f"/projects/{project.id}/classes").status_code == 200
    sign_in(manager)
    assert client.post(f"/projects/{project.id}/members/{person.id}/remove").status_code == 200
    assert client.post(f"/projects/{project.id}/members/{person.id}/remove").status_code == 404
    sign_in(person)
    assert client.get(f"/projects/{project.id}/classes").status_code == 404
    sign_in(manager)
    trail = client.get(f"/projects/{project.id}/audit").text
    assert trail.index("Member removed") < trail.index("Member added"), "newest first"
    with reading() as session:
        assert session.scalars(select(Member)).all() == []


def test_renaming_a_project_is_audited(client: TestClient, sign_in: SignIn) -> None:
    project, _ = make_project(name="Old"), make_project(name="Taken")
    sign_in(make_user("manager", name="Grace"))
    url = f"/projects/{project.id}/settings"
    assert "already a project" in error_of(client.post(url, data={"name": "Taken"}), "name")
    assert client.post(url, data={"name": "New"}, follow_redirects=False).status_code == 303
    trail = client.get(f"/projects/{project.id}/audit").text
    assert "name: Old → New" in trail
    assert "Grace" in trail
    assert "Taken" not in trail


def test_the_audit_trail_has_pages(client: TestClient, sign_in: SignIn) -> None:
    project = make_project(classes=["A1", "A2"])
    sign_in(make_user("manager"))
    for number in range(101):
        client.post(f"/projects/{project.id}/settings", data={"name": f"Name {number}"}, follow_redirects=False)
    newest = client.get(f"/projects/{project.id}/audit").text
    assert "→ Name 100<" in newest
    assert "→ Name 0<" not in newest
    older = newest.split("?before=")[1].split('"')[0]
    oldest = client.get(f"/projects/{project.id}/audit?before={older}").text
    assert "→ Name 0<" in oldest
    assert "?before=" not in oldest
