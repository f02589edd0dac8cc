"""From labels to predictions through HTTP, with the fake encoder."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.db import reading, transaction
from app.models import CellClass, Classifier, Project
from tests import factories

CODES = ["NGS"] * 30 + ["LYT"] * 30

Label = Callable[..., Any]


@pytest.fixture
def project(client: TestClient, sign_in: Callable[..., TestClient]) -> Project:
    """A project of 60 cells, with a technician signed in."""
    project = factories.make_project(["NGS", "LYT", "MON"])
    factories.make_cells(factories.make_slide(project), CODES)
    sign_in(factories.make_user(member_of=project, name="Ada"))
    return project


@pytest.fixture
def label(client: TestClient, project: Project) -> Label:
    """Post labels {cell_id: code}; returns the answer."""

    def post(labels: dict[int, str | None], source: str = "label", action: str = "", **more: Any) -> Any:
        items = [{"cell_id": cell_id, "class": code, **more} for cell_id, code in labels.items()]
        body = {"action": action or str(uuid4()), "source": source, "items": items}
        return client.post(f"/projects/{project.id}/annotations", json=body)

    return post


def tiles(client: TestClient, project: Project, ids: list[int]) -> dict[int, Any]:
    answer = client.get(f"/projects/{project.id}/cells/state", params={"ids": ",".join(map(str, ids))})
    return {cell["cell_id"]: cell for cell in answer.json()["cells"]}


def cell_ids(client: TestClient, project: Project) -> list[int]:
    """The ids of all cells, oldest first."""
    answer = client.get(f"/projects/{project.id}/cells", params={"order": "newest"}, headers={"HX-Request": "true"})
    parts = answer.text.split('data-cell-id="')[1:]
    return sorted(int(part.split('"')[0]) for part in parts)


def test_subclasses_are_also_counted_as_their_parent(
    client: TestClient, project: Project, label: Label, work: Callable[[], int]
) -> None:
    work()
    ids = cell_ids(client, project)
    page = f"/projects/{project.id}/predictions"
    label({cell_id: code for cell_id, code in zip(ids, CODES, strict=True) if cell_id % 3 == 0})
    # MON is a kind of neutrophil here; the fake encoder cannot tell it from one.
    label({cell_id: "MON" for cell_id in ids[:30] if cell_id % 3 == 1})
    work()
    assert "With subclasses as one" not in client.get(page).text
    with transaction() as session:
        classes = {row.code: row for row in session.scalars(select(CellClass).filter_by(project_id=project.id))}
        classes["MON"].parent_id = classes["NGS"].id
    label({ids[59]: "LYT"})
    work()
    assert "With subclasses as one" in client.get(page).text
    with reading() as session:
        metrics = session.scalars(select(Classifier.metrics).order_by(Classifier.id.desc())).first()
    assert metrics["by_parent"]["classes"] == ["LYT", "NGS"]
    assert metrics["by_parent"]["balanced_accuracy"] > metrics["balanced_accuracy"] + 0.1
    with transaction() as session:  # as versions are that were fitted before there was this figure
        session.execute(update(Classifier).values(metrics={k: v for k, v in metrics.items() if k != "by_parent"}))
    answer = client.get(page)
    assert answer.status_code == 200
    assert "With subclasses as one" not in answer.text


def test_predictions_appear_from_two_labels_in_each_of_two_classes_on(
    client: TestClient, project: Project, label: Label, work: Callable[[], int]
) -> None:
    work()
    ids = cell_ids(client, project)
    answer = label({ids[0]: "NGS", ids[1]: "NGS", ids[30]: "LYT"}).json()
    assert (answer["saved"], answer["skipped"]) == (3, [])
    work()
    assert tiles(client, project, ids)[ids[5]]["predicted"] == ""

    label({ids[31]: "LYT"})
    work()
    found = tiles(client, project, ids)
    right = sum(found[cell]["predicted"] == code for cell, code in zip(ids, CODES, strict=True))
    assert right >= 57
    assert found[ids[5]]["confidence"] > 0.5
    page = client.get(f"/projects/{project.id}/predictions")
    assert "Version 1" in page.text
    assert "Balanced accuracy" in page.text
    matrix = page.text.split('class="confusion"')[1]
    rows = re.findall(r'<th scope="row"><span [^>]*data-class-code="(\w+)"', matrix)
    assert rows[:2] == re.findall(r'<th scope="col">([A-Z]{3})<', matrix) == ["NGS", "LYT"]  # the project's order
    for row in matrix.split("<tr>")[2:4]:
        assert sum(int(count or 0) for count in re.findall(r'<td class="heat[^>]*>(\d*)<', row)) == 2


def test_a_label_made_while_nothing_ran_is_one_refit(
    client: TestClient, project: Project, label: Label, work: Callable[[], int]
) -> None:
    work()
    ids = cell_ids(client, project)
    for i in range(4):
        label({ids[i]: "NGS", ids[30 + i]: "LYT"})
    assert work() == 1


def test_the_same_action_twice_is_saved_once(client: TestClient, project: Project, label: Label) -> None:
    ids = cell_ids(client, project)
    action = str(uuid4())
    for _ in range(2):
        assert label({ids[0]: "NGS", ids[1]: "NGS"}, action=action).json()["saved"] == 2
    rows = list(csv.DictReader(io.StringIO(client.get(f"/projects/{project.id}/annotations.csv").text)))
    assert [(row["class"], row["source"]) for row in rows] == [("NGS", "label")] * 2


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"class": "XXX"}, 422, "no class XXX"),
        ({"cell_id": 999_999}, 404, "no cell 999999"),
        ({"cell_id": "one"}, 422, "cell_id"),
        ({"unknown": 1}, 422, "unknown"),
    ],
)
def test_wrong_labels_are_refused_whole(
    client: TestClient, project: Project, change: dict[str, Any], status: int, words: str
) -> None:
    ids = cell_ids(client, project)
    good = {"cell_id": ids[0], "class": "NGS"}
    body = {"action": str(uuid4()), "items": [good, {"cell_id": ids[1], "class": "NGS", **change}]}
    answer = client.post(f"/projects/{project.id}/annotations", json=body)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert tiles(client, project, ids)[ids[0]]["class"] == ""


def test_strangers_neither_see_nor_label(
    client: TestClient, project: Project, label: Label, sign_in: Callable[..., TestClient]
) -> None:
    ids = cell_ids(client, project)
    sign_in(factories.make_user())
    assert label({ids[0]: "NGS"}).status_code == 404
    for path in ("cells", "cells/state?ids=1", "predictions", "predictions.csv", "annotations.csv", "classifiers"):
        assert client.get(f"/projects/{project.id}/{path}").status_code == 404
    assert client.get(f"/projects/{project.id}/events").status_code == 404


@pytest.mark.parametrize("order", ["uncertain", "confident", "novel", "newest", "random"])
def test_pages_of_every_order_hold_each_cell_once_both_ways(
    client: TestClient,
    project: Project,
    label: Label,
    work: Callable[[], int],
    order: str,
) -> None:
    work()
    ids = cell_ids_paged(client, project, "newest")
    label({ids[-1]: "NGS", ids[-2]: "NGS", ids[0]: "LYT", ids[1]: "LYT"})
    work()
    forth = cell_ids_paged(client, project, order)
    assert sorted(forth) == sorted(ids)
    assert cell_ids_paged(client, project, order, backwards=True) == forth


def cell_ids_paged(client: TestClient, project: Project, order: str, *, backwards: bool = False) -> list[int]:
    """Follow the cursors to the end, and back again if asked; returns the ids in the order of the list."""
    pages, cursor = [], ""
    while True:
        fragment = grid(client, project, order, cursor)
        pages.append(fragment)
        if not fragment["next"]:
            break
        cursor = fragment["next"]
    if backwards:
        pages, cursor = [pages[-1]], pages[-1]["previous"]
        while cursor:
            pages.insert(0, grid(client, project, order, cursor))
            cursor = pages[0]["previous"]
    assert [page["offset"] for page in pages] == [7 * i for i in range(len(pages))]
    return [cell for page in pages for cell in page["ids"]]


def grid(client: TestClient, project: Project, order: str, cursor: str) -> dict[str, Any]:
    params = {"order": order, "cursor": cursor, "limit": "7"}
    text = client.get(f"/projects/{project.id}/cells", params=params, headers={"HX-Request": "true"}).text
    value = lambda name: text.split(f'data-{name}="')[1].split('"')[0]  # noqa: E731
    return {
        "ids": [int(part.split('"')[0]) for part in text.split('data-cell-id="')[1:]],
        "next": value("next-cursor"),
        "previous": value("previous-cursor"),
        "offset": int(value("offset")),
    }


def test_filters_choose_and_unknown_ones_are_named(
    client: TestClient, project: Project, label: Label, work: Callable[[], int]
) -> None:
    work()
    ids = cell_ids(client, project)
    label(dict(zip(ids[:4] + ids[30:34], ["NGS"] * 4 + ["LYT"] * 4, strict=True)))
    work()

    def shown(**params: Any) -> int:
        text = client.get(f"/projects/{project.id}/cells", params=params, headers={"HX-Request": "true"}).text
        return text.count("data-cell-id=")

    slide = client.get(f"/projects/{project.id}/cells").text.split('name="slide"')[1].split('value="')[2].split('"')[0]
    assert shown() == shown(slide=slide) == 60
    assert shown(**{"class": "NGS"}) == 4
    assert shown(labelled="yes") == 8
    assert shown(labelled="no", predicted="LYT") + shown(labelled="no", predicted="NGS") == 52
    assert shown(predicted="MON") == shown(scanner=999) == 0
    for wrong in ({"class": "XXX"}, {"order": "best"}, {"cursor": "abc"}, {"labelled": "maybe"}):
        answer = client.get(f"/projects/{project.id}/cells", params=wrong)
        assert answer.status_code == 422
        assert next(iter(wrong)) in answer.text


def test_exports_hold_every_cell_and_no_formula(
    client: TestClient, project: Project, label: Label, work: Callable[[], int]
) -> None:
    assert client.get(f"/projects/{project.id}/predictions.csv").status_code == 422
    work()
    ids = cell_ids(client, project)
    label({ids[0]: "NGS", ids[1]: "NGS", ids[30]: "LYT", ids[31]: "LYT"})
    work()
    answer = client.get(f"/projects/{project.id}/predictions.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["cell_id"]) for row in rows] == ids
    assert {row["classifier_version"] for row in rows} == {"1"}
    assert all(abs(float(row["p_NGS"]) + float(row["p_LYT"]) - 1) < 0.01 for row in rows)
    labels = client.get(f"/projects/{project.id}/classifiers/1/labels.csv")
    assert sorted(labels.text.split()[1:]) == sorted(
        f"{cell},{code}" for cell, code in ((ids[0], "NGS"), (ids[1], "NGS"), (ids[30], "LYT"), (ids[31], "LYT"))
    )
