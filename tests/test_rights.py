"""Who may do what on the pages: every route x role x ownership. A route that is not in the table fails.

REST routes have the same in tests/rest/test_rights.py, with scopes of tokens.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.accounts.service import start_session
from app.db import transaction
from app.main import app
from app.models import User
from app.projects import live
from app.security import csrf_token
from tests import factories
from tests.everything import UNKNOWN, Everything, make_everything
from tests.routes import in_path, served

PAGES = [route for route in served() if " /api/" not in route]
TABLE = """
everybody:
GET /messages/{tag}.js
GET /sign-in
GET /welcome/{token}
POST /sign-in
POST /sign-out
POST /welcome/{token}
signed in:
GET /
GET /account
GET /jobs
GET /projects
POST /account/language
POST /account/name
POST /account/password
POST /account/tokens
POST /account/tokens/{token_id}/revoke
member:
GET /cells/{cell_id}/field
GET /cells/{cell_id}/image
GET /cells/{cell_id}/original
GET /cells/{cell_id}/place
GET /cells/{cell_id}/thumbnail
GET /fields/{field_id}
GET /fields/{field_id}/cells
GET /fields/{field_id}/thumbnail
GET /fields/{field_id}/tiles/{level}/{column}/{row}
GET /mappings/{mapping_id}
GET /mappings/{mapping_id}/mapping.csv
GET /mappings/{mapping_id}/labels.csv
GET /mappings/{mapping_id}/mapping.json
GET /projects/{project_id}
GET /projects/{project_id}/actions
GET /projects/{project_id}/annotations.coco.json
GET /projects/{project_id}/annotations.csv
GET /projects/{project_id}/annotations/import
GET /projects/{project_id}/audit
GET /projects/{project_id}/cells
GET /projects/{project_id}/cells/state
GET /projects/{project_id}/classes
GET /projects/{project_id}/classes.css
GET /projects/{project_id}/classes/versions
GET /projects/{project_id}/classifiers
GET /projects/{project_id}/classifiers/{version}
GET /projects/{project_id}/classifiers/{version}/labels.csv
GET /projects/{project_id}/events
GET /projects/{project_id}/map
GET /projects/{project_id}/map/{map_id}/points
GET /projects/{project_id}/map/{map_id}/values
GET /projects/{project_id}/mappings
GET /projects/{project_id}/predictions
GET /projects/{project_id}/predictions.csv
GET /projects/{project_id}/pretraining
GET /projects/{project_id}/quality
GET /projects/{project_id}/reporting
GET /projects/{project_id}/scanners
GET /projects/{project_id}/settings
GET /projects/{project_id}/slides
GET /projects/{project_id}/slides/{slide_id}
GET /projects/{project_id}/team
GET /reports/{report_id}
GET /reports/{report_id}/{kind}
GET /scanners/{scanner_id}/adaptation
GET /scanners/{scanner_id}/adaptation/report.pdf
GET /scanners/{scanner_id}/adaptation/{step}
GET /scanners/{scanner_id}/watching
GET /slides/{slide_id}/report
GET /slides/{slide_id}/report/{kind}
GET /uploads/{upload_id}/refused
POST /alarms/{alarm_id}/settlement
POST /fields/{field_id}/boxes
POST /fields/{field_id}/removals
POST /projects/{project_id}/actions/{undone}/{how}
POST /projects/{project_id}/annotations
POST /projects/{project_id}/annotations/import
POST /projects/{project_id}/annotations/import/labels
POST /projects/{project_id}/audits
POST /projects/{project_id}/batches
POST /projects/{project_id}/batches/{batch_id}/accept
POST /projects/{project_id}/conflicts
POST /projects/{project_id}/keys
POST /projects/{project_id}/map
POST /projects/{project_id}/map/batches
POST /projects/{project_id}/reviews
POST /projects/{project_id}/second-readings
POST /projects/{project_id}/slides
POST /projects/{project_id}/slides/find
POST /scanners/{scanner_id}/adaptation/validation
POST /scanners/{scanner_id}/adaptation/labels
POST /scanners/{scanner_id}/controls
POST /slides/{slide_id}/complete
POST /slides/{slide_id}/images
POST /slides/{slide_id}/report/corrections
POST /slides/{slide_id}/uploads
POST /uploads/{upload_id}/complete
POST /uploads/{upload_id}/files
POST /uploads/{upload_id}/retry
POST /uploads/{upload_id}/sending
POST /uploads/{upload_id}/stopped
reviewer:
POST /projects/{project_id}/adjudications
POST /slides/{slide_id}/report/amendment
POST /slides/{slide_id}/report/classification
POST /slides/{slide_id}/report/signature
manager:
GET /accounts
GET /classifiers/{classifier_id}/previews/{scanner_id}
GET /packs
GET /packs/{pack_id}
GET /packs/{pack_id}/file
GET /projects/new
GET /projects/{project_id}/classes/{class_id}
GET /projects/{project_id}/packs
GET /projects/{project_id}/webhooks
GET /scanners/{scanner_id}
GET /webhooks/{webhook_id}
POST /accounts/invitations
POST /accounts/invitations/{invitation_id}/withdraw
POST /accounts/tokens/{token_id}/revoke
POST /accounts/{user_id}/activate
POST /accounts/{user_id}/deactivate
POST /accounts/{user_id}/password-link
POST /accounts/{user_id}/role
POST /classifiers/{classifier_id}/previews
POST /deliveries/{delivery_id}/send
POST /jobs/{job_id}/retry
POST /packs
POST /packs/{pack_id}/delete
POST /packs/{pack_id}/project
POST /pretrainings/{run_id}/cancel
POST /pretrainings/{run_id}/pause
POST /pretrainings/{run_id}/resume
POST /projects/new
POST /projects/{project_id}/classes
POST /projects/{project_id}/classes/{class_id}
POST /projects/{project_id}/classes/{class_id}/delete
POST /projects/{project_id}/classes/{class_id}/move
POST /projects/{project_id}/classifiers/{version}/activate
POST /projects/{project_id}/classifiers/{version}/keep
POST /projects/{project_id}/encoder
POST /projects/{project_id}/mappings
POST /projects/{project_id}/members
POST /projects/{project_id}/members/{user_id}/remove
POST /projects/{project_id}/packs
POST /projects/{project_id}/pretraining
POST /projects/{project_id}/privacy
POST /projects/{project_id}/quality
POST /projects/{project_id}/reporting
POST /projects/{project_id}/scanners
POST /projects/{project_id}/settings
POST /projects/{project_id}/timing
POST /projects/{project_id}/webhooks
POST /scanners/{scanner_id}
POST /scanners/{scanner_id}/rollback
POST /webhooks/{webhook_id}
POST /webhooks/{webhook_id}/delete
POST /webhooks/{webhook_id}/secret
POST /webhooks/{webhook_id}/test
POST /scanners/{scanner_id}/adaptation
POST /scanners/{scanner_id}/adaptation/comparisons
POST /scanners/{scanner_id}/adaptation/decision
POST /scanners/{scanner_id}/watching
"""
OF_SOMEBODY_ELSE = {"POST /account/tokens/{token_id}/revoke"}  # the token of the one of everything is nobody's here


def read_table() -> dict[str, str]:
    """Return the level of each route: who may, besides managers, who may all."""
    found, level = {}, ""
    for line in TABLE.strip().split("\n"):
        if line.endswith(":"):
            level = line.removesuffix(":")
        else:
            found[line] = level
    return found


LEVEL_OF = read_table()
OF_PROJECTS = [
    route
    for route, level in LEVEL_OF.items()
    if level in {"member", "reviewer", "manager"} and " /accounts" not in route
]


def visitor(user: User | None) -> TestClient:
    """The browser of a person, as a script in it asks."""
    browser = TestClient(app, base_url="http://testserver", follow_redirects=False, raise_server_exceptions=False)
    browser.headers |= {"Origin": "http://testserver", "Accept": "application/json"}
    if user is not None:
        with transaction() as session:
            session_id = start_session(session, user)
        browser.cookies.set("fiftycells", session_id)
        browser.headers["X-CSRF-Token"] = csrf_token(session_id)
    return browser


def ask(browser: TestClient, route: str, ids: Mapping[str, Any]) -> Response:
    method, _, path = route.partition(" ")
    return browser.request(method, path.format(**ids))


def expected(route: str, role: str, *, member: bool) -> set[int]:
    """What a person who is no manager is told: 403, the role is missing; 404, there is no such thing; 0, neither."""
    level = LEVEL_OF[route]
    if level in {"everybody", "signed in"}:
        return {0}
    lacks_role = level == "manager" or (level == "reviewer" and role == "technician")
    if not member:
        return {403, 404} if lacks_role else {404}
    return {403} if lacks_role else {0}


def refusal(answer: Response) -> int:
    return answer.status_code if answer.status_code in {401, 403, 404} else 0


@pytest.fixture
def everything(installation: object, monkeypatch: pytest.MonkeyPatch) -> Everything:
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.05)
    return make_everything()


def test_every_page_is_in_the_table() -> None:
    assert sorted(LEVEL_OF) == PAGES


@pytest.mark.parametrize("role", ["technician", "reviewer"])
@pytest.mark.parametrize("member", [True, False])
def test_pages_know_roles_and_owners(everything: Everything, role: str, *, member: bool) -> None:
    project = everything.project if member else factories.make_project()
    person = factories.make_user(role, member_of=project)
    for route in sorted(LEVEL_OF, key=lambda each: "delete" in each):
        answer = ask(visitor(person), route, everything.ids)
        assert answer.status_code < 500, route
        if route in OF_SOMEBODY_ELSE or "{token}" in route:
            assert answer.status_code == 404, route
        elif route != "POST /sign-in":  # nobody's name and password were sent
            assert refusal(answer) in expected(route, role, member=member), (route, answer.text)


def test_whoever_is_not_signed_in_is_sent_to_sign_in(everything: Everything) -> None:
    for route in LEVEL_OF:
        if LEVEL_OF[route] != "everybody":
            assert ask(visitor(None), route, everything.ids).status_code == 401, route


def test_what_is_not_yours_is_answered_as_what_is_not_there(everything: Everything) -> None:
    stranger = factories.make_user("reviewer", member_of=factories.make_project())
    browser = visitor(stranger)
    manager = visitor(factories.make_user("manager"))
    for route in OF_PROJECTS:
        rows = [name for name in in_path(route) if name.endswith("_id")]
        if rows:
            unknown = everything.ids | dict.fromkeys(rows, UNKNOWN)
            foreign, missing = ask(browser, route, everything.ids), ask(browser, route, unknown)
            assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content), route
            assert ask(manager, route, unknown).status_code == 404, route
            assert ask(manager, route, everything.ids | dict.fromkeys(rows, 10**30)).status_code == 422, route


def test_things_of_another_project_are_not_found_in_yours(everything: Everything) -> None:
    """A manager may see both projects, but a class, slide, map or batch is found under its own only."""
    other = make_everything()
    manager = visitor(factories.make_user("manager"))
    for route in (each for each in LEVEL_OF if "{project_id}" in each and len(in_path(each)) > 1):
        rows = set(in_path(route)) - {"project_id", "undone", "how", "version", "step"}
        mixed = everything.ids | {name: other.ids[name] for name in rows}
        answer = ask(manager, route, mixed)
        assert not rows or answer.status_code in {404, 409, 422}, route
