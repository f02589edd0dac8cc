"""The map through HTTP, with the fake encoder: laid out by a worker, extended, coloured, caught."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load
from sqlalchemy import select

from app import db, jobs
from app.annotations.service import Act, store
from app.fields.service import removal
from app.maps import service
from app.models import Cell, CellClass, CellMap, Encoder, Project, Slide
from tests import factories
from tests.browsing import submit
from tests.pages import grid_of

LOOKS = ["NGS"] * 60 + ["LYT"] * 40
SignIn = Callable[..., TestClient]
Work = Callable[[], int]


@pytest.fixture
def project() -> Project:
    return factories.make_project(["NGS", "LYT"])


@pytest.fixture
def slide(project: Project) -> Slide:
    return factories.make_slide(project)


@pytest.fixture
def cells(slide: Slide) -> list[int]:
    return factories.make_cells(slide, LOOKS)


@pytest.fixture
def ada(client: TestClient, project: Project, cells: list[int], sign_in: SignIn, work: Work) -> TestClient:
    """A technician of the project, its cells embedded."""
    work()
    return sign_in(factories.make_user(member_of=project))


def newest(project: Project) -> CellMap:
    with db.reading() as session:
        query = select(CellMap).where(CellMap.project_id == project.id).order_by(CellMap.id.desc()).limit(1)
        return session.scalars(query).one()


def arrays_of(client: TestClient, project: Project, what: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read an answer as the page does: arrays, and the metadata."""
    data = client.get(f"/projects/{project.id}/map/{newest(project).id}/{what}").raise_for_status().content
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load(data), header["__metadata__"]


def lay_out(client: TestClient, project: Project, work: Work) -> None:
    assert submit(client, f"/projects/{project.id}/map").status_code == 303
    assert "being laid out" in client.get(f"/projects/{project.id}/map").text
    work()


def label(client: TestClient, project: Project, items: dict[int, str]) -> None:
    body = {"action": str(uuid4()), "items": [{"cell_id": cell, "class": code} for cell, code in items.items()]}
    client.post(f"/projects/{project.id}/annotations", json=body).raise_for_status()


def test_a_map_is_laid_out_when_somebody_asks_and_cells_that_look_alike_lie_together(
    ada: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    page = ada.get(f"/projects/{project.id}/map")
    assert "No map yet" in page.text
    lay_out(ada, project, work)
    assert "No map yet" not in ada.get(f"/projects/{project.id}/map").text
    points, _ = arrays_of(ada, project, "points")
    assert sorted(points["cell_ids"]) == cells
    at = dict(zip(points["cell_ids"].tolist(), points["places"], strict=True))
    middle = [np.mean([at[cell] for cell in some], 0) for some in (cells[:60], cells[60:])]
    spread = max(np.mean([np.linalg.norm(at[cell] - middle[0]) for cell in cells[:60]]), 0.01)
    assert np.linalg.norm(middle[0] - middle[1]) > 2 * spread


def test_cells_that_come_later_are_added_and_nothing_else_moves(
    ada: TestClient, project: Project, slide: Slide, cells: list[int], work: Work
) -> None:
    lay_out(ada, project, work)
    before, _ = arrays_of(ada, project, "points")
    map_id, artifact = newest(project).id, newest(project).artifact
    later = factories.make_cells(factories.make_slide(project), ["NGS"] * 5)
    work()
    after, metadata = arrays_of(ada, project, "points")
    assert newest(project).id == map_id
    assert (after["cell_ids"][:100] == before["cell_ids"]).all()
    assert (after["places"][:100] == before["places"]).all()
    assert sorted(after["cell_ids"][100:]) == later
    first, other = json.loads(metadata["scanners"])
    assert [first, other] == sorted({slide.scanner_id, first, other})
    assert (after["scanners"] == [0] * 100 + [1] * 5).all()
    tail = load(ada.get(f"/projects/{project.id}/map/{map_id}/points?start=100").content)
    assert (tail["cell_ids"] == after["cell_ids"][100:]).all()
    with pytest.raises(FileNotFoundError):
        service.get_storage().local_path(f"maps/{artifact}")


def test_laying_out_anew_replaces_the_map_and_another_encoder_asks_for_it_by_itself(
    ada: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    lay_out(ada, project, work)
    first = newest(project)
    lay_out(ada, project, work)
    assert newest(project).id != first.id
    assert ada.get(f"/projects/{project.id}/map/{first.id}/points").status_code == 404
    assert len(arrays_of(ada, project, "points")[0]["cell_ids"]) == 100
    with db.transaction() as session:
        other = Encoder(sha256="e" * 64, name="other", dim=4, card={}, created_at=db.now())
        session.add(other)
        session.flush()
        session.get_one(Project, project.id).next_encoder_id = other.id
        jobs.embed_missing(session, project.id, other.id)
    work()
    assert newest(project).encoder_id == other.id
    assert newest(project).cells == 100


def test_labels_and_predictions_come_in_the_order_of_the_map(
    ada: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    lay_out(ada, project, work)
    values, _ = arrays_of(ada, project, "values")
    assert not any(values[name].any() for name in ("classes", "predicted", "confidence"))
    label(ada, project, {cells[0]: "NGS", cells[1]: "NGS", cells[60]: "LYT", cells[61]: "LYT"})
    work()
    ids = arrays_of(ada, project, "points")[0]["cell_ids"]
    values, metadata = arrays_of(ada, project, "values")
    with db.reading() as session:
        codes = {row.id: row.code for row in session.execute(select(CellClass.id, CellClass.code))}
    names = ["", *(codes[class_id] for class_id in json.loads(metadata["classes"])[1:])]
    labelled = {int(cell): names[at] for cell, at in zip(ids, values["classes"], strict=True) if at}
    assert labelled == {cells[0]: "NGS", cells[1]: "NGS", cells[60]: "LYT", cells[61]: "LYT"}
    predicted = {int(cell): names[at] for cell, at in zip(ids, values["predicted"], strict=True)}
    assert [predicted[cell] for cell in cells] == LOOKS
    assert values["confidence"].min() >= 255 / 2 - 1


def test_a_cell_that_was_removed_since_is_marked_so_that_nobody_sees_its_point(
    ada: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    lay_out(ada, project, work)
    manager = factories.make_user("manager")
    with db.transaction() as session:
        act = Act(project, str(uuid4()), "removed", manager)
        store(session, act, [removal(session.get_one(Cell, cells[3]))])
    ids = arrays_of(ada, project, "points")[0]["cell_ids"]
    removed = arrays_of(ada, project, "values")[0]["removed"]
    assert ids[removed == 1].tolist() == [cells[3]]


def test_what_has_not_changed_is_not_sent_again(
    ada: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    lay_out(ada, project, work)
    path = f"/projects/{project.id}/map/{newest(project).id}"

    def again(what: str, etag: str) -> int:
        return ada.get(f"{path}/{what}", headers={"If-None-Match": etag}).status_code

    etags = {what: ada.get(f"{path}/{what}").headers["ETag"] for what in ("points", "values")}
    assert [again(what, etag) for what, etag in etags.items()] == [304, 304]
    label(ada, project, {cells[0]: "NGS"})
    assert [again(what, etag) for what, etag in etags.items()] == [304, 200]
    assert again("points?start=50", etags["points"]) == 200


def test_caught_cells_are_shown_in_the_grid_in_their_order(
    ada: TestClient, project: Project, cells: list[int], sign_in: SignIn
) -> None:
    caught = [cells[7], cells[99], cells[3]]
    answer = ada.post(f"/projects/{project.id}/map/batches", json={"cell_ids": caught}).raise_for_status()
    grid = grid_of(ada, answer.json()["url"])
    assert grid.ids == caught
    assert grid.note.startswith("3 cells caught on the map")
    assert grid_of(ada, answer.json()["url"] + "&labelled=yes").ids == []

    foreign = factories.make_cells(factories.make_slide(factories.make_project()), ["NGS"], queue=False)
    for ids, status in (([*caught, *foreign], 404), ([*caught, 10**6], 404), ([], 422), ([0], 422), (["x"], 422)):
        assert ada.post(f"/projects/{project.id}/map/batches", json={"cell_ids": ids}).status_code == status


def test_more_than_can_be_caught_is_refused_in_words(
    ada: TestClient, project: Project, cells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_CAUGHT", 3)
    path = f"/projects/{project.id}/map/batches"
    assert ada.post(path, json={"cell_ids": cells[:3]}).status_code == 200
    refused = ada.post(path, json={"cell_ids": cells[:4]})
    assert refused.status_code == 422
    assert "at most 3" in refused.json()["detail"]


def test_others_find_no_map(ada: TestClient, project: Project, cells: list[int], work: Work, sign_in: SignIn) -> None:
    lay_out(ada, project, work)
    path, map_id = f"/projects/{project.id}/map", newest(project).id
    paths = [path, f"{path}/{map_id}/points", f"{path}/{map_id}/values"]
    assert [ada.get(each).status_code for each in paths] == [200, 200, 200]
    assert ada.get(f"{path}/{map_id + 1}/points").status_code == 404
    other = factories.make_project()
    sign_in(factories.make_user(member_of=other))
    assert [ada.get(each).status_code for each in paths] == [404, 404, 404]
    assert ada.get(f"/projects/{other.id}/map/{map_id}/points").status_code == 404
    assert ada.post(f"{path}/batches", json={"cell_ids": cells}).status_code == 404
    assert ada.post(path).status_code == 404
    assert ada.post(f"/projects/{other.id}/map").status_code == 409
    ada.cookies.clear()
    assert ada.get(paths[1], headers={"Accept": "application/json"}).status_code == 401


def test_what_a_person_must_not_see_yet_has_no_colour(
    ada: TestClient, project: Project, cells: list[int], work: Work, sign_in: SignIn
) -> None:
    lay_out(ada, project, work)
    label(ada, project, {cells[0]: "NGS", cells[1]: "NGS", cells[60]: "LYT", cells[61]: "LYT"})
    work()

    def known(share: dict[str, float]) -> list[int]:
        """How many labels and predictions Grace is shown, of the 4 and 100 there are."""
        with db.transaction() as session:
            row = session.get_one(Project, project.id)
            row.audit_share, row.second_share = share.get("audit", 0), share.get("second", 0)
        values, _ = arrays_of(ada, project, "values")
        return [int((values[name] > 0).sum()) for name in ("classes", "predicted", "confidence")]

    grace = factories.make_user(member_of=project, name="Grace")
    sign_in(grace)
    assert known({}) == [4, 100, 100]
    assert known({"audit": 1}) == [4, 4, 4]
    assert known({"second": 1}) == [0, 96, 96]
