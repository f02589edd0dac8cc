"""Review by exception through HTTP, with the fake encoder: one class in a fixed order, accepted up to a place."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import Classifier, Project
from tests import factories
from tests.pages import grid_of

LOOKS = ["NGS"] * 700 + ["LYT"] * 30
LABELLED = 4
SignIn = Callable[..., TestClient]


@pytest.fixture
def project(client: TestClient, sign_in: SignIn, work: Callable[[], int]) -> Project:
    """A project with predictions from four labels, Ada signed in."""
    project = factories.make_project(["NGS", "LYT", "MON"])
    cells = factories.make_cells(factories.make_slide(project), LOOKS)
    sign_in(factories.make_user(member_of=project, name="Ada"))
    work()
    label(client, project, {cells[0]: "NGS", cells[1]: "NGS", cells[-1]: "LYT", cells[-2]: "LYT"})
    work()
    return project


def label(client: TestClient, project: Project, classes: dict[int, str]) -> None:
    items = [{"cell_id": cell_id, "class": code} for cell_id, code in classes.items()]
    body = {"action": str(uuid4()), "items": items}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()


def begin(client: TestClient, project: Project, **form: Any) -> Any:
    return client.post(f"/projects/{project.id}/reviews", json=form)


def sources(client: TestClient, project: Project) -> Counter[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(client.get(f"/projects/{project.id}/annotations.csv").text))
    return Counter((row["class"], row["source"]) for row in rows)


def test_the_largest_class_comes_first_then_the_next_and_each_order_is_kept(
    client: TestClient, project: Project, work: Callable[[], int]
) -> None:
    first = grid_of(client, begin(client, project).json()["url"])
    assert (first.page["review"], first.page["total"]) == ("NGS", "698")
    assert [float(tile["confidence"]) for tile in first.tiles] == sorted(
        (float(tile["confidence"]) for tile in first.tiles), reverse=True
    )
    label(client, project, {first.ids[0]: "LYT"})
    work()
    assert grid_of(client, first.url).ids == first.ids
    place = grid_of(client, f"{first.url}&place=200")
    assert (place.page["offset"], len(place.ids)) == ("200", 200)
    assert not set(place.ids) & set(first.ids)

    assert grid_of(client, begin(client, project, order="novel").json()["url"]).page["review"] == "LYT"
    assert "Every predicted class was reviewed" in begin(client, project).json()["detail"]
    deviant = grid_of(client, begin(client, project, predicted="NGS", order="novel").json()["url"])
    assert float(deviant.tiles[0]["novelty"]) >= float(deviant.tiles[199]["novelty"])
    for form, status, words in (
        ({"predicted": "XXX"}, 422, "no class XXX"),
        ({"predicted": "MON"}, 409, "No unlabelled cell is predicted MON"),
        ({"order": "random"}, 422, "order"),
    ):
        refused = begin(client, project, **form)
        assert (refused.status_code, words in refused.json()["detail"]) == (status, True)


def test_accepting_to_a_place_is_one_step_leaves_other_labels_and_teaches_nothing(
    client: TestClient, project: Project, work: Callable[[], int], sign_in: SignIn
) -> None:
    before = sources(client, project)
    review = grid_of(client, begin(client, project).json()["url"])
    number, action = review.url.split("batch=")[1], str(uuid4())
    label(client, project, {review.ids[3]: "LYT"})
    accept = f"/projects/{project.id}/batches/{number}/accept"
    for _ in range(2):  # sent twice over a bad line
        form = {"action": action, "stop": 600, "exceptions": [review.ids[7], review.ids[8]]}
        assert client.post(accept, json=form).status_code == 202
    assert client.post(accept, json={"action": str(uuid4()), "stop": 699}).status_code == 422
    work()
    assert sources(client, project) == before + Counter({("NGS", "reviewed"): 597, ("LYT", "label"): 1})
    with reading() as session:
        labels = session.scalars(select(Classifier.labels).order_by(Classifier.id.desc())).first()
    assert labels == LABELLED + 1
    counts = grid_of(client, f"/projects/{project.id}/cells").page["counts"].split()
    assert next(count for count in counts if count.startswith("NGS=")).endswith(".597")

    sign_in(factories.make_user(member_of=project, name="Grace"))
    label(client, project, {review.ids[5]: "MON"})
    undo = f"/projects/{project.id}/actions/{action}/undo"
    assert "job_id" in client.post(undo, json={"action": str(uuid4())}).json()  # too many to wait for
    work()
    assert sources(client, project) == before + Counter({("LYT", "label"): 1, ("MON", "label"): 1})
    sign_in(factories.make_user())
    assert client.post(undo, json={"action": str(uuid4())}).status_code == 404
    assert client.post(accept, json={"action": str(uuid4()), "stop": 1}).status_code == 404
