"""Taking actions back and doing them again through HTTP: every cell gets back what it had, with who gave it and how."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import Cell, Classifier, Project
from tests import factories
from tests.pages import grid_of

SignIn = Callable[..., TestClient]
Work = Callable[[], int]
State = tuple[str, str, str]
NOTHING: State = ("", "", "")


@pytest.fixture
def project(client: TestClient) -> Project:
    """A project of 700 cells, most of one look."""
    project = factories.make_project(["NGS", "LYT", "MON"])
    factories.make_cells(factories.make_slide(project), ["NGS"] * 670 + ["LYT"] * 30)
    return project


@pytest.fixture
def cells(project: Project) -> list[int]:
    with reading() as session:
        return list(session.scalars(select(Cell.id).where(Cell.project_id == project.id).order_by(Cell.id)))


def label(client: TestClient, project: Project, classes: dict[int, str | None], source: str = "label") -> str:
    """Label cells; returns the action."""
    items = [{"cell_id": cell_id, "class": code} for cell_id, code in classes.items()]
    action = str(uuid4())
    body = {"action": action, "source": source, "items": items}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()
    return action


def replay(client: TestClient, project: Project, how: str, action: str, own: str = "") -> Any:
    answer = client.post(f"/projects/{project.id}/actions/{action}/{how}", json={"action": own or str(uuid4())})
    return answer.raise_for_status().json()


def states(client: TestClient, project: Project, ids: list[int]) -> list[State]:
    answer = client.get(f"/projects/{project.id}/cells/state", params={"ids": ",".join(map(str, ids))})
    found = {cell["cell_id"]: cell for cell in answer.json()["cells"]}
    return [(found[cell]["class"], found[cell]["class_source"], found[cell]["by"]) for cell in ids]


def test_undo_gives_back_anothers_accepted_label_as_it_was(
    client: TestClient, project: Project, cells: list[int], sign_in: SignIn
) -> None:
    sign_in(factories.make_user(member_of=project, name="Grace"))
    label(client, project, {cells[0]: "NGS"}, "accepted")
    sign_in(factories.make_user(member_of=project, name="Ada"))
    action = label(client, project, {cells[0]: "LYT", cells[1]: "LYT"})
    for _ in range(2):  # sent twice over a bad line
        undone = replay(client, project, "undo", action, "the-same-action")
        assert (undone["saved"], undone["skipped"]) == (2, [])
        assert undone["items"][0] == {"cell_id": cells[0], "class": "NGS", "source": "accepted", "by": "Grace"}
    assert states(client, project, cells[:2]) == [("NGS", "accepted", "Grace"), NOTHING]
    for _ in range(2):
        assert replay(client, project, "redo", action, "again-the-same")["saved"] == 2
    assert states(client, project, cells[:2]) == [("LYT", "label", "Ada")] * 2
    assert replay(client, project, "undo", action)["saved"] == 2  # as often as one likes
    assert states(client, project, cells[:2]) == [("NGS", "accepted", "Grace"), NOTHING]
    sign_in(factories.make_user())
    assert (
        client.post(f"/projects/{project.id}/actions/{action}/redo", json={"action": str(uuid4())}).status_code == 404
    )


def test_an_action_that_is_not_the_last_leaves_alone_what_was_labelled_since(
    client: TestClient, project: Project, cells: list[int], sign_in: SignIn
) -> None:
    sign_in(factories.make_user(member_of=project, name="Ada"))
    first = label(client, project, dict.fromkeys(cells[:3], "NGS"))
    second = label(client, project, {cells[0]: "LYT", cells[1]: None})
    sign_in(factories.make_user(member_of=project, name="Grace"))
    label(client, project, {cells[0]: "MON"})
    undone = replay(client, project, "undo", first)
    assert undone["saved"] == 1
    assert undone["skipped"] == [
        {"cell_id": cells[0], "class": "MON", "by": "Grace"}, {"cell_id": cells[1], "class": None, "by": "Ada"},
    ]  # fmt: skip
    assert states(client, project, cells[:3]) == [("MON", "label", "Grace"), NOTHING, NOTHING]
    # The removal in the second action can be taken back: what it removed comes into force again.
    assert replay(client, project, "undo", second)["saved"] == 1
    assert states(client, project, cells[:3]) == [("MON", "label", "Grace"), ("NGS", "label", "Ada"), NOTHING]


def test_a_review_done_again_is_still_one_nobody_saw(
    client: TestClient, project: Project, cells: list[int], sign_in: SignIn, work: Work
) -> None:
    sign_in(factories.make_user(member_of=project, name="Ada"))
    work()
    label(client, project, {cells[0]: "NGS", cells[1]: "NGS", cells[-1]: "LYT", cells[-2]: "LYT"})
    work()
    review = grid_of(client, client.post(f"/projects/{project.id}/reviews", json={}).json()["url"])
    accept = f"/projects/{project.id}/batches/{review.url.split('batch=')[1]}/accept"
    action = str(uuid4())
    client.post(accept, json={"action": action, "stop": 600}).raise_for_status()
    # While the worker is still accepting, the undo queues behind it.
    assert "job_id" in replay(client, project, "undo", action)
    work()
    assert states(client, project, review.ids[:1]) == [NOTHING]
    replay(client, project, "redo", action)
    work()
    assert states(client, project, review.ids[:1]) == [("NGS", "accepted", "Ada")]
    over = label(client, project, dict.fromkeys(review.ids[:2], "MON"))
    replay(client, project, "undo", over)
    work()
    with reading() as session:
        labels = session.scalars(select(Classifier.labels).order_by(Classifier.id.desc())).first()
    assert labels == 4
    listed = client.get(f"/projects/{project.id}/actions").text
    assert "600 cells: Class NGS" in listed
    assert "review accepted" in listed
    assert listed.count("taken back") == 1


def test_the_list_of_actions_is_ones_own_and_of_this_project(
    client: TestClient, project: Project, cells: list[int], sign_in: SignIn
) -> None:
    ada = factories.make_user(member_of=project, name="Ada")
    sign_in(ada)
    label(client, project, {cells[0]: "NGS", cells[1]: "NGS", cells[2]: "LYT"})
    removed = label(client, project, {cells[0]: None})
    replay(client, project, "undo", removed)
    listed = client.get(f"/projects/{project.id}/actions", headers={"HX-Request": "true"}).text
    assert listed.index("1 cell: no label") < listed.index("3 cells: 2 Class NGS, 1 Class LYT")
    assert listed.count("<li ") == 2  # what was taken back is marked, not listed again
    sign_in(factories.make_user(member_of=project))
    assert "You have not labelled anything here yet." in client.get(f"/projects/{project.id}/actions").text
    sign_in(factories.make_user())
    assert client.get(f"/projects/{project.id}/actions").status_code == 404
