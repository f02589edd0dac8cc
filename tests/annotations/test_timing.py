"""Seconds that decisions take: sent with labels, stored, dropped where a project is not timed."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import Annotation, Project
from tests import factories
from tests.pages import grid_of

SignIn = Callable[..., TestClient]


@pytest.fixture
def project() -> Project:
    return factories.make_project(["NGS", "LYT"])


@pytest.fixture
def cells(project: Project) -> list[int]:
    return factories.make_cells(factories.make_slide(project), ["NGS"] * 20 + ["LYT"] * 20)


def items(*cells: int, code: str = "NGS", **more: Any) -> dict[str, Any]:
    return {"items": [{"cell_id": cell, "class": code, **more} for cell in cells]}


def stored() -> list[float | None]:
    with reading() as session:
        return list(session.scalars(select(Annotation.seconds).order_by(Annotation.id)))


def test_seconds_are_stored_unless_the_project_is_not_timed(
    client: TestClient, project: Project, cells: list[int], sign_in: SignIn
) -> None:
    manager = factories.make_user("manager")
    path = f"/projects/{project.id}"
    sign_in(manager)
    assert "timed" in grid_of(client, f"{path}/cells").page
    label = {"action": str(uuid4()), **items(cells[0], cells[1], seconds=1.5)}
    assert client.post(f"{path}/annotations", json=label).status_code == 200
    for wrong in (-1, 3601, "long"):
        refused = {"action": str(uuid4()), **items(cells[2], seconds=wrong)}
        assert client.post(f"{path}/annotations", json=refused).status_code == 422
    rest = {"Authorization": f"Bearer {factories.make_token(manager)}"}
    for body in (items(cells[2], seconds=4), items(cells[3]), {**items(cells[4], seconds=4), "source": "import"}):
        assert client.post(f"/api/v1{path}/annotations", json=body, headers=rest).status_code == 201
    assert stored() == [1.5, 1.5, 4, None, None]

    assert client.post(f"{path}/timing", data={}, follow_redirects=False).status_code == 303
    assert "timed" not in grid_of(client, f"{path}/cells").page
    label = {"action": str(uuid4()), **items(cells[5], seconds=2)}
    assert client.post(f"{path}/annotations", json=label).status_code == 200
    assert stored()[5:] == [None]
    assert client.post(f"{path}/timing", data={"timed": "1"}, follow_redirects=False).status_code == 303
    trail = client.get(f"{path}/audit").text
    assert "Project timing changed" in trail
    assert trail.index("timing: off → on") < trail.index("timing: on → off")


def test_the_seconds_of_a_bulk_acceptance_are_shared_among_its_cells(
    client: TestClient, project: Project, cells: list[int], sign_in: SignIn, work: Callable[[], int]
) -> None:
    sign_in(factories.make_user(member_of=project))
    work()
    for code, some in (("NGS", cells[:2]), ("LYT", cells[20:22])):
        label = {"action": str(uuid4()), **items(*some, code=code)}
        client.post(f"/projects/{project.id}/annotations", json=label).raise_for_status()
    work()
    review = client.post(f"/projects/{project.id}/reviews", json={"predicted": "NGS"}).json()["url"]
    accept = f"/projects/{project.id}/batches/{review.split('batch=')[1]}/accept"
    body = {"action": str(uuid4()), "stop": 10, "seconds": 12}
    assert client.post(accept, json={**body, "seconds": 4000}).status_code == 422
    assert client.post(accept, json=body).status_code == 202
    work()
    assert stored() == [None] * 4 + [pytest.approx(1.2)] * 10
