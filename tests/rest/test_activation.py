"""A manager makes a version the reporting classifier of a scanner, and goes back."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import AuditEvent, Project
from tests import factories
from tests.rest.conftest import Api

Fit = Callable[[], Any]


@pytest.fixture
def project(installation: object) -> Project:
    return factories.make_project()


@pytest.fixture
def manager(api: Api) -> TestClient:
    return api()


@pytest.fixture
def fit(project: Project, manager: TestClient, work: Callable[[], int]) -> Fit:
    """Call it to get a new version: the first labels a few cells, each further one corrects nothing but refits."""
    cells = factories.make_cells(factories.make_slide(project), ["NGS"] * 4 + ["LYT"] * 4)
    items = [{"cell_id": cell, "class": code} for cell, code in zip(cells, ["NGS"] * 4 + ["LYT"] * 4, strict=True)]

    def new_version() -> Any:
        manager.post(f"/projects/{project.id}/annotations", json={"items": items})
        work()
        return versions(manager, project, order="newest")[0]

    return new_version


def versions(client: TestClient, project: Project, **params: Any) -> list[Any]:
    items: list[Any] = client.get(f"/projects/{project.id}/classifiers", params=params).json()["items"]
    return items


def activate(client: TestClient, version: Any, scanner_id: int) -> Any:
    return client.post(f"/classifiers/{version['id']}/activate", json={"scanner_id": scanner_id})


def test_the_version_before_is_retired_and_can_come_back(project: Project, manager: TestClient, fit: Fit) -> None:
    scanner = factories.make_scanner(project)
    first, second = fit(), fit()
    for version in (first, second, first, first):
        answer = activate(manager, version, scanner.id)
        assert (answer.status_code, answer.json()["state"]) == (200, "reporting")
    assert [(row["version"], row["state"]) for row in versions(manager, project)] == [(1, "reporting"), (2, "retired")]
    assert [row["version"] for row in versions(manager, project, state="retired")] == [2]
    with reading() as session:
        audit = session.scalars(select(AuditEvent.detail).where(AuditEvent.what == "classifier.activated")).all()
    assert [(each["old"], each["new"]) for each in audit] == [(None, 1), (1, 2), (2, 1)]


def test_an_activated_version_keeps_its_scores(project: Project, manager: TestClient, fit: Fit) -> None:
    scanner = factories.make_scanner(project)
    first, second = fit(), fit()
    activate(manager, first, scanner.id)
    for _ in range(3):
        fit()
    kept = {row["version"]: row["has_scores"] for row in versions(manager, project)}
    assert kept == {1: True, 2: False, 3: True, 4: True, 5: True}
    path = f"/projects/{project.id}/predictions"
    page = manager.get(path, params={"classifier": first["id"]}).json()
    assert page["classifier"]["version"] == 1
    assert len(page["items"]) == 8
    gone = manager.get(path, params={"classifier": second["id"]})
    assert (gone.status_code, "no longer kept" in gone.json()["detail"]) == (404, True)
    too_late = activate(manager, second, scanner.id)
    assert (too_late.status_code, "no longer kept" in too_late.json()["detail"]) == (409, True)


def test_a_version_serves_one_scanner_of_its_project(project: Project, manager: TestClient, fit: Fit) -> None:
    version, scanner = fit(), factories.make_scanner(project)
    foreign = factories.make_scanner(factories.make_project())
    assert activate(manager, version, foreign.id).status_code == 422
    assert activate(manager, version, 999_999).status_code == 422
    assert activate(manager, version, scanner.id).status_code == 200
    other = factories.make_scanner(project)
    assert activate(manager, version, other.id).status_code == 409
    assert versions(manager, project)[0]["scanner_id"] == scanner.id
