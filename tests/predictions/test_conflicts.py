"""Labels that others contradict, and what the meter says, through HTTP with the fake encoder."""

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import transaction
from app.models import Cell, Embedding, Project
from tests import factories
from tests.pages import grid_of

LOOKS = ["NGS"] * 60 + ["LYT"] * 60
SignIn = Callable[..., TestClient]


@pytest.fixture
def project(client: TestClient, sign_in: SignIn) -> Project:
    project = factories.make_project(["NGS", "LYT"])
    sign_in(factories.make_user(member_of=project, name="Ada"))
    return project


@pytest.fixture
def looks(project: Project, work: Callable[[], int]) -> dict[int, str]:
    """Cell ids and what the cells look like."""
    cells = factories.make_cells(factories.make_slide(project), LOOKS)
    work()
    return dict(zip(cells, LOOKS, strict=True))


def label(client: TestClient, project: Project, classes: dict[int, str], source: str = "label") -> None:
    items = [{"cell_id": cell_id, "class": code} for cell_id, code in classes.items()]
    body = {"action": str(uuid4()), "source": source, "items": items}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()


def conflicts(client: TestClient, project: Project) -> Any:
    answer = client.post(f"/projects/{project.id}/conflicts", json={})
    return grid_of(client, answer.json()["url"]) if answer.status_code == 200 else answer


def test_a_wrong_label_is_found_until_it_is_kept_or_changed(
    client: TestClient, project: Project, looks: dict[int, str], work: Callable[[], int]
) -> None:
    few = list(looks)[:20] + list(looks)[60:80]
    first, second = few[0], few[-1]
    label(client, project, {cell: looks[cell] for cell in few} | {first: "LYT", second: "NGS"})
    work()
    queue = conflicts(client, project)
    assert {tile["cell-id"]: tile["why"] for tile in queue.tiles} == {
        str(first): "others say NGS",
        str(second): "others say LYT",
    }
    label(client, project, {first: "LYT"}, source="kept")
    label(client, project, {second: "LYT"})
    refused = conflicts(client, project)
    assert (refused.status_code, refused.json()["detail"]) == (409, "No label is contradicted by the others.")
    work()
    assert conflicts(client, project).status_code == 409


def test_people_who_disagree_are_named(
    client: TestClient, project: Project, looks: dict[int, str], sign_in: SignIn
) -> None:
    cell = next(iter(looks))
    label(client, project, {cell: "NGS"})
    sign_in(factories.make_user(member_of=project, name="Grace"))
    assert conflicts(client, project).status_code == 409
    label(client, project, {cell: "LYT"})
    queue = conflicts(client, project)
    assert [(tile["cell-id"], tile["why"], tile["class"]) for tile in queue.tiles] == [(str(cell), "Ada: NGS", "LYT")]
    label(client, project, {cell: "LYT"}, source="kept")
    assert conflicts(client, project).status_code == 409
    sign_in(factories.make_user())
    assert conflicts(client, project).status_code == 404


def test_a_copy_with_another_label_comes_first_and_only_on_its_scanner(
    client: TestClient, project: Project, looks: dict[int, str], work: Callable[[], int]
) -> None:
    cells = list(looks)
    first = factories.make_slide(project)
    with transaction() as session:  # the same picture on two slides, in two slightly different files
        for vector in copies(session, cells[0], factories.make_cells(first, ["NGS"], queue=False)):
            session.add(vector)
    copy = cells[-1] + 1
    few = {cell: looks[cell] for cell in cells[:20] + cells[60:80]}
    label(client, project, few | {copy: "LYT"})
    work()
    queue = conflicts(client, project)
    why = {int(tile["cell-id"]): tile["why"] for tile in queue.tiles}
    assert {cell: why[cell] for cell in queue.ids[:2]} == {cells[0]: "same picture: LYT", copy: "same picture: NGS"}
    answer = client.post(f"/projects/{project.id}/conflicts", json={"scanner": first.scanner_id})
    assert grid_of(client, answer.json()["url"]).ids == [copy]


def copies(session: Any, of: int, cell_ids: list[int]) -> list[Embedding]:
    """The embedding of a cell, for others."""
    image = session.get_one(Cell, of).image_id
    vector = session.scalars(select(Embedding).where(Embedding.image_id == image)).one()
    return [
        Embedding(
            image_id=session.get_one(Cell, cell_id).image_id,
            encoder_id=vector.encoder_id,
            vector=vector.vector,
        )
        for cell_id in cell_ids
    ]


def test_the_meter_says_what_is_known_and_where_to_go_on(
    client: TestClient, project: Project, looks: dict[int, str], work: Callable[[], int]
) -> None:
    page, overview = f"/projects/{project.id}/cells", f"/projects/{project.id}/predictions"
    cells = {code: [cell for cell, look in looks.items() if look == code] for code in ("NGS", "LYT")}
    label(client, project, dict.fromkeys(cells["NGS"][:4], "NGS"))
    assert "advice" not in grid_of(client, page).page
    label(client, project, dict.fromkeys(cells["LYT"][:4], "LYT"))
    work()
    shown = grid_of(client, page).page
    meter = json.loads(shown["meter"])
    assert meter["NGS"]["low"] < meter["NGS"]["recall"] == meter["NGS"]["high"] == 1
    assert meter["NGS"]["gain"] is None
    assert shown["advice"] == "Too few labels to say what more would bring: NGS, LYT."
    assert "Learning curve" not in client.get(overview).text

    label(client, project, {cell: code for code, some in cells.items() for cell in some[4:10]})
    work()
    shown = grid_of(client, page).page
    meter = json.loads(shown["meter"])["NGS"]
    assert (meter["recall"], meter["gain"]) == (1, 0)
    words = r"Go on with (NGS|LYT): from 10 labels its recall may be anywhere from 78 to 100 %\. Below 50 labels"
    assert re.match(words, shown["advice"])

    label(client, project, {cell: code for code, some in cells.items() for cell in some[10:30]})
    work()
    shown = grid_of(client, page).page
    assert json.loads(shown["meter"])["NGS"]["low"] > 0.9
    assert shown["advice"] == "More labels would hardly help: ten more of any class add less than half a point."
    assert client.get(overview).text.count('class="estimate"') == 3  # a dot for every refit
