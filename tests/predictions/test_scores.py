"""Score tables and columns while others publish, prune and label: a page never breaks over what is gone."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import db
from app.annotations.queries import export
from app.cells.index import columns_of
from app.db import reading
from app.models import Classifier, Project
from app.predictions import scores, service
from app.predictions.grid import GridFilters, page
from app.storage import get_storage
from tests import factories

Work = Callable[[], int]


@pytest.fixture
def project(client: TestClient, sign_in: Callable[..., TestClient]) -> Project:
    """A project with a technician signed in."""
    project = factories.make_project(["NGS", "LYT"])
    sign_in(factories.make_user(member_of=project))
    return project


def label(client: TestClient, project: Project, cells: list[int], codes: list[str]) -> None:
    items = [{"cell_id": cell, "class": code} for cell, code in zip(cells, codes, strict=True)]
    body = {"action": str(uuid4()), "items": items}
    assert client.post(f"/projects/{project.id}/annotations", json=body).status_code == 200


def newest(project: Project) -> Classifier:
    with reading() as session:
        found = scores.newest_classifier(session, project.id)
    assert found is not None
    return found


def test_a_table_pruned_before_it_is_read_is_followed_by_a_newer_one(
    client: TestClient, project: Project, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = factories.make_cells(factories.make_slide(project), ["NGS", "LYT"] * 8)
    work()
    label(client, project, cells[:4], ["NGS", "LYT"] * 2)
    work()
    first = newest(project)
    for start in range(4, 12, 2):
        label(client, project, cells[start : start + 2], ["NGS", "LYT"])
        work()
    with pytest.raises(FileNotFoundError):
        get_storage().local_path(f"scores/{first.scores}")

    look = scores.newest_classifier
    for path in ("cells", "cells/state?ids=1", "predictions", "predictions.csv"):
        scores._tables.clear()
        answers = iter([first])
        with monkeypatch.context() as patch:
            patch.setattr(scores, "newest_classifier", lambda *_: next(answers, None) or look(*_))  # noqa: B023
            answer = client.get(f"/projects/{project.id}/{path}")
        assert (answer.status_code, next(answers, None)) == (200, None), path
    assert client.get(f"/projects/{project.id}/cells/state?ids=1").json()["version"] == 5


def test_a_lost_table_costs_the_predictions_and_not_the_page(client: TestClient, project: Project, work: Work) -> None:
    cells = factories.make_cells(factories.make_slide(project), ["NGS", "LYT"] * 4)
    work()
    label(client, project, cells[:4], ["NGS", "LYT"] * 2)
    work()
    get_storage().delete(f"scores/{newest(project).scores}")
    scores._tables.clear()
    for path, status in (("cells", 200), ("cells/state?ids=1", 200), ("predictions", 200), ("predictions.csv", 422)):
        assert client.get(f"/projects/{project.id}/{path}").status_code == status, path
    label(client, project, cells[4:6], ["NGS", "LYT"])
    work()
    assert client.get(f"/projects/{project.id}/cells/state?ids=1").json()["version"] == 2


def test_columns_do_not_change_in_the_hands_of_a_reader(client: TestClient, project: Project) -> None:
    slide, reader = factories.make_slide(project), factories.make_user()
    cells = factories.make_cells(slide, ["NGS"] * 3)
    with reading() as old:
        mine = columns_of(old, project.id)
        assert old.scalar(select(Project.id)) == project.id
        later = factories.make_cells(slide, ["NGS"] * 2)
        label(client, project, cells[:1], ["NGS"])
        with reading() as new:
            known = columns_of(new, project.id)
        assert (mine.class_ids.tolist(), len(mine)) == ([0, 0, 0], 3)
        assert (known.class_ids > 0).tolist() == [True, False, False, False, False]
        # A request that began before and gets the newer columns leaves the newer cells to the next one.
        shown = page(old, project, {}, GridFilters(order="newest"))
        assert shown.columns.cell_ids.tolist() == cells + later
        assert [tile["cell_id"] for tile in service.tiles(old, project, reader, shown)] == cells[::-1]


def test_an_export_keeps_no_transaction_open_while_it_is_sent(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.csv_stream.ROWS", 2)
    cells = factories.make_cells(factories.make_slide(project), ["NGS"] * 5)
    label(client, project, cells, ["NGS"] * 5)
    found: list[Any] = []
    for row in export(project.id):
        found.append(row[0])
        assert db.engine().pool.checkedout() == 0  # type: ignore[attr-defined]
    assert found == cells
