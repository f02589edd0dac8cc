"""Guided labelling through HTTP, with the fake encoder: what is served, to whom, and why."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from app.models import Project
from tests import factories
from tests.pages import grid_of

LOOKS = ["NGS"] * 60 + ["LYT"] * 60 + ["MON"] * 20
SignIn = Callable[..., TestClient]


@pytest.fixture
def project() -> Project:
    return factories.make_project(["NGS", "LYT", "MON"])


@pytest.fixture
def looks(client: TestClient, project: Project, sign_in: SignIn) -> dict[int, str]:
    """Cell ids and what the cells look like; Ada is signed in."""
    cells = factories.make_cells(factories.make_slide(project), LOOKS)
    sign_in(factories.make_user(member_of=project, name="Ada"))
    return dict(zip(cells, LOOKS, strict=True))


def serve(client: TestClient, project: Project) -> Any:
    answer = client.post(f"/projects/{project.id}/batches", json={})
    return grid_of(client, answer.json()["url"]) if answer.status_code == 200 else answer


def label(client: TestClient, project: Project, classes: dict[int, str]) -> None:
    items = [{"cell_id": cell_id, "class": code} for cell_id, code in classes.items()]
    body = {"action": str(uuid4()), "items": items}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()


def test_without_a_label_groups_of_one_look_are_served_then_what_teaches_most(
    client: TestClient, project: Project, looks: dict[int, str], work: Callable[[], int]
) -> None:
    early = serve(client, project)
    assert early.status_code == 409
    assert "still being prepared" in early.json()["detail"]
    work()
    named: set[str] = set()
    while len(named) < 3:
        group = serve(client, project)
        assert "look alike" in group.note
        assert ("unlike everything labelled so far" in group.note) == (len(named) == 2)
        (look,) = {looks[cell] for cell in group.ids}
        label(client, project, dict.fromkeys(group.ids, look))
        named.add(look)
        assert {tile["class"] for tile in grid_of(client, group.url).tiles} == {look}  # it stays while it is labelled
        if len(named) > 1:
            work()
    batch = serve(client, project)
    assert 0 < len(batch.ids) <= 24
    assert "most" in batch.note
    assert all(tile["why"] for tile in batch.tiles)
    assert not any(tile["class"] for tile in batch.tiles)


def test_two_people_are_given_different_cells_and_passed_over_ones_come_last(
    client: TestClient, project: Project, looks: dict[int, str], work: Callable[[], int], sign_in: SignIn
) -> None:
    work()
    first = dict(list(looks.items())[:2] + list(looks.items())[60:62] + list(looks.items())[120:122])
    label(client, project, first)
    work()
    mine = serve(client, project)
    sign_in(factories.make_user(member_of=project, name="Grace"))
    theirs = serve(client, project)
    assert not set(mine.ids) & set(theirs.ids)
    seen = [*mine.ids, *theirs.ids]
    while len(set(seen)) < len(looks) - len(first):
        seen += serve(client, project).ids
    assert len(seen) == len(set(seen))
    again = serve(client, project)  # all were passed over: they come again
    assert set(again.ids) <= set(seen)
    label(client, project, looks)
    assert "Every cell is labelled" in serve(client, project).json()["detail"]


def test_a_batch_of_another_project_is_not_found(
    client: TestClient, project: Project, looks: dict[int, str], work: Callable[[], int], sign_in: SignIn
) -> None:
    work()
    batch = serve(client, project)
    number = batch.url.split("batch=")[1]
    assert client.get(f"/projects/{project.id}/cells?batch={number}").status_code == 200
    other = factories.make_project()
    sign_in(factories.make_user(member_of=other))
    assert client.get(f"/projects/{other.id}/cells?batch={number}").status_code == 404
    assert client.get(batch.url).status_code == 404
    assert client.post(f"/projects/{project.id}/batches", json={}).status_code == 404
    assert client.post(f"/projects/{other.id}/batches", json={}).json()["detail"].startswith("There are no cells yet")


def test_cells_of_one_scanner_are_served_and_the_grid_stays_on_it(
    client: TestClient, project: Project, looks: dict[int, str], work: Callable[[], int]
) -> None:
    other = factories.make_slide(project)
    theirs = dict(zip(factories.make_cells(other, LOOKS[:40] + LOOKS[60:64]), LOOKS[:40] + LOOKS[60:64], strict=True))
    work()
    path = f"/projects/{project.id}/batches"
    group = grid_of(client, client.post(path, json={"scanner": other.scanner_id}).raise_for_status().json()["url"])
    assert set(group.ids) <= set(theirs)
    first = dict(list(looks.items())[:4] + list(looks.items())[60:64])
    label(client, project, first | dict(list(theirs.items())[:2]))
    work()
    for place in ({"scanner": other.scanner_id}, {"slide": other.id}):
        answer = client.post(path, json=place).raise_for_status().json()
        batch = grid_of(client, answer["url"])
        assert answer["url"].endswith("&" + "=".join(map(str, next(iter(place.items())))))
        assert batch.ids
        assert set(batch.ids) <= set(theirs)
    label(client, project, theirs)
    refused = client.post(path, json={"scanner": other.scanner_id})
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "No cell of this scanner or slide waits for a label.",
    )
    assert set(serve(client, project).ids) <= set(looks)
