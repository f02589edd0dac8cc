"""The team page: what timed decisions add up to, and who sees whose."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import now, reading, transaction
from app.models import Annotation, Project, Slide, User
from tests import factories

SignIn = Callable[..., TestClient]


@pytest.fixture
def project() -> Project:
    return factories.make_project(["NGS", "LYT"])


@pytest.fixture
def slide(project: Project) -> Slide:
    return factories.make_slide(project)


@pytest.fixture
def cells(slide: Slide) -> list[int]:
    return factories.make_cells(slide, ["NGS"] * 6)


@pytest.fixture
def ada(project: Project) -> User:
    return factories.make_user(member_of=project, name="Ada")


@pytest.fixture
def grace(project: Project) -> User:
    return factories.make_user(member_of=project, name="Grace")


def label(client: TestClient, project: Project, seconds: float | None, *cells: int, **more: Any) -> None:
    """One decision of so many seconds."""
    share = {} if seconds is None else {"seconds": seconds / len(cells)}
    items = [{"cell_id": cell, "class": more.get("code", "NGS"), **share} for cell in cells]
    body = {"action": str(uuid4()), "items": items}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()


def team(client: TestClient, project: Project, query: str = "") -> list[list[str]]:
    """The rows of the table without their day."""
    text = client.get(f"/projects/{project.id}/team{query}").raise_for_status().text
    rows = re.findall(r"<tr[^>]*><th scope=\"row\"[^>]*>[^<]*</th>(.*?)</tr>", text, re.DOTALL)
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row.replace("\u2013", "-")) for row in rows]


def test_decisions_add_up_by_person_and_all_see_the_total(
    client: TestClient, project: Project, cells: list[int], ada: User, grace: User, sign_in: SignIn
) -> None:
    sign_in(grace)
    assert team(client, project) == []
    label(client, project, 60, cells[0])
    sign_in(ada)
    label(client, project, 4, cells[1], cells[2])
    label(client, project, 2, cells[1], code="LYT")
    label(client, project, 6, cells[1], code=None)
    label(client, project, None, cells[3])
    mine = ["Ada", "3", "-", "0.2", "900", "4.0", "-", "-"]
    everybody = ["All", "4", "-", "1.2", "200", "4.0", "-", "-"]
    assert team(client, project) == [mine, everybody]
    sign_in(factories.make_user("manager"))
    hers = ["Grace", "1", "-", "1.0", "60", "60.0", "-", "-"]
    assert team(client, project) == [mine, hers, everybody]
    sign_in(factories.make_user())
    assert client.get(f"/projects/{project.id}/team").status_code == 404


def test_a_slide_counts_once_all_its_cells_carry_timed_labels(
    client: TestClient, project: Project, cells: list[int], ada: User, grace: User, sign_in: SignIn
) -> None:
    sign_in(grace)
    label(client, project, 30, *cells[:3])
    label(client, project, None, cells[3])
    sign_in(ada)
    label(client, project, 12, *cells[4:])
    assert team(client, project)[0][-2:] == ["-", "-"]
    label(client, project, 5, cells[3], code="LYT")
    assert team(client, project)[0][-2:] == ["1", "47"]
    sign_in(grace)
    assert team(client, project)[0][-2:] == ["-", "-"]
    assert team(client, project)[1][-2:] == ["1", "47"]


def test_older_days_are_on_pages_of_their_own(
    client: TestClient, project: Project, cells: list[int], ada: User, sign_in: SignIn
) -> None:
    sign_in(ada)
    label(client, project, 4, cells[0])
    with transaction() as session:
        session.scalars(select(Annotation)).one().created_at = now() - timedelta(days=20)
    assert team(client, project) == []
    older = re.search(r'rel="next" href="[^"]*(\?until=[^"]*)"', page(client, project))
    assert older
    assert [row[0] for row in team(client, project, older[1])] == ["Ada", "All"]
    assert client.get(f"/projects/{project.id}/team?until=yesterday").status_code == 422


def page(client: TestClient, project: Project) -> str:
    return client.get(f"/projects/{project.id}/team").text


def test_switched_off_nothing_is_stored_or_shown(
    client: TestClient, project: Project, cells: list[int], sign_in: SignIn
) -> None:
    sign_in(factories.make_user("manager"))
    label(client, project, 4, cells[0])
    client.post(f"/projects/{project.id}/timing", data={}).raise_for_status()
    label(client, project, 4, cells[1])
    assert "nothing is measured or stored" in page(client, project)
    assert team(client, project) == []
    with reading() as session:
        assert session.scalars(select(Annotation.seconds).order_by(Annotation.id)).all() == [4, None]
