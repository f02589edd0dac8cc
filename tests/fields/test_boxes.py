"""Boxes of cells in fields: seen, drawn, moved and removed by hand, and taken back."""

import io
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import PIL.Image
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading, transaction
from app.models import Cell, Field, Image, Project, Slide, User
from app.slides import states
from app.storage import get_storage
from tests import factories
from tests.pages import grid_of
from tests.slides.test_fields import field_of
from tests.slides.test_whole_slides import slide_file
from tests.slides.uploading import upload

BOX = [20, 20, 110, 110]


@pytest.fixture
def browser(sign_in: Callable[[User], TestClient], project: Project) -> TestClient:
    return sign_in(factories.make_user(member_of=project))


@pytest.fixture
def project(installation: object) -> Project:
    return factories.make_project()


@pytest.fixture
def slide(project: Project) -> Slide:
    return factories.make_slide(project)


@pytest.fixture
def field(browser: TestClient, slide: Slide, work: Callable[[], int]) -> Field:
    """A field of six squares with a cell in each, all embedded; the slide waits for its review."""
    upload(browser, slide, [("one.png", field_of(["NGS", "LYT", "EOS"], 1))], "field")
    work()
    with reading() as session:
        return session.scalars(select(Field)).one()


def boxes(browser: TestClient, field: Field) -> dict[int, dict[str, Any]]:
    answer = browser.get(f"/fields/{field.id}/cells")
    assert answer.status_code == 200
    return {cell["cell_id"]: cell for cell in answer.json()["cells"]}


def post(browser: TestClient, path: str, **form: Any) -> Any:
    answer = browser.post(path, json={"action": str(uuid4()), **form})
    assert answer.status_code in (200, 201, 202, 204), answer.text
    return answer


def undo(browser: TestClient, project: Project, action: str, how: str = "undo") -> None:
    post(browser, f"/projects/{project.id}/actions/{action}/{how}")


def test_a_missed_cell_is_drawn_and_taken_back(
    browser: TestClient, project: Project, slide: Slide, field: Field, work: Callable[[], int]
) -> None:
    before = boxes(browser, field)
    assert len(before) == 6
    action = str(uuid4())
    post(browser, f"/fields/{field.id}/boxes", action=action, box=BOX)
    work()
    new = boxes(browser, field).keys() - before.keys()
    assert len(new) == 1
    assert boxes(browser, field)[new.pop()]["box"] == BOX
    with reading() as session:
        assert session.get_one(Slide, slide.id).state == "needs_review"
    post(browser, f"/fields/{field.id}/boxes", box=BOX)  # the same again is the same cell
    work()
    assert len(boxes(browser, field)) == 7

    undo(browser, project, action)
    assert boxes(browser, field).keys() == before.keys()
    assert len(grid_of(browser, f"/projects/{project.id}/cells").tiles) == 6
    undo(browser, project, action, "redo")
    assert len(boxes(browser, field)) == 7


def test_a_removed_box_is_no_cell_any_more_until_that_is_taken_back(
    browser: TestClient, project: Project, slide: Slide, field: Field
) -> None:
    first, second = sorted(boxes(browser, field))[:2]
    post(browser, f"/projects/{project.id}/annotations", items=[{"cell_id": first, "class": "LYT"}])
    action = str(uuid4())
    post(browser, f"/fields/{field.id}/removals", action=action, cell_ids=[first, second])
    assert not {first, second} & boxes(browser, field).keys()
    shown = {tile["field"] for tile in grid_of(browser, f"/projects/{project.id}/cells").tiles}
    assert shown == {f"/cells/{cell_id}/field" for cell_id in boxes(browser, field)}
    assert "box removed" in browser.get(f"/projects/{project.id}/actions").text
    label = {"action": str(uuid4()), "items": [{"cell_id": first, "class": "NGS"}]}
    assert browser.post(f"/projects/{project.id}/annotations", json=label).status_code == 404
    again = {"action": str(uuid4()), "cell_ids": [first]}
    assert browser.post(f"/fields/{field.id}/removals", json=again).status_code == 404

    undo(browser, project, action)
    assert boxes(browser, field)[first]["class_code"] == "LYT"
    assert len(boxes(browser, field)) == 6


def test_a_moved_box_takes_its_label_along(
    browser: TestClient, project: Project, field: Field, work: Callable[[], int]
) -> None:
    before = boxes(browser, field)
    cell_id = min(before)
    post(browser, f"/projects/{project.id}/annotations", items=[{"cell_id": cell_id, "class": "LYT"}])
    left, top, right, bottom = before[cell_id]["box"]
    moved = [left + 20, top + 10, right + 25, bottom + 10]
    action = str(uuid4())
    post(browser, f"/fields/{field.id}/boxes", action=action, box=moved, replaces=cell_id)
    work()
    after = boxes(browser, field)
    assert len(after) == 6
    [new] = after.keys() - before.keys()
    assert (after[new]["box"], after[new]["class_code"]) == (moved, "LYT")

    undo(browser, project, action)
    assert {key: cell["class_code"] for key, cell in boxes(browser, field).items()} == dict.fromkeys(before, "") | {
        cell_id: "LYT"
    }


def test_boxes_that_cannot_be_are_refused_and_signed_slides_stay(
    browser: TestClient, slide: Slide, field: Field
) -> None:
    def draw(box: list[int]) -> Any:
        return browser.post(f"/fields/{field.id}/boxes", json={"action": str(uuid4()), "box": box})

    for box, reason in [
        ([-5, 0, 80, 80], "within the field, 1080 x 720 pixels"),
        ([80, 80, 20, 120], "within the field"),
        ([20, 20, 24, 24], "sides must be"),
        ([0, 0, 1000, 700], "sides must be"),
    ]:
        answer = draw(box)
        assert answer.status_code == 422
        assert reason in answer.json()["errors"][0]["reason"]
    with reading() as session:
        image = get_storage().local_path(f"images/{session.get_one(Image, field.image_id).sha256}")
    hidden = image.rename(image.with_suffix(".hidden"))
    assert draw(BOX).status_code == 404
    hidden.rename(image)
    assert draw(BOX).status_code == 202
    with transaction() as session:
        states.move(session, session.get_one(Slide, slide.id), "signed")
    assert draw([200, 20, 290, 110]).status_code == 409
    cells = list(boxes(browser, field))
    removal = {"action": str(uuid4()), "cell_ids": cells[:1]}
    assert browser.post(f"/fields/{field.id}/removals", json=removal).status_code == 409
    assert "is signed" in browser.get(f"/fields/{field.id}").text


def test_fields_and_whole_slides_are_served_in_tiles(
    browser: TestClient, slide: Slide, field: Field, work: Callable[[], int]
) -> None:
    upload(browser, slide, [("case.svs", slide_file(side=900))], "field")
    work()
    with reading() as session:
        whole = session.scalars(select(Field).where(Field.id != field.id)).one()
        cell = session.scalars(select(Cell.id).where(Cell.field_id == whole.id).limit(1)).one()
    for each, size in ((field, (1080, 720)), (whole, (900, 900))):
        tile = browser.get(f"/fields/{each.id}/tiles/10/1/0")
        with PIL.Image.open(io.BytesIO(tile.content)) as image:
            assert (image.format, image.height) == ("JPEG", 255)
        top = browser.get(f"/fields/{each.id}/tiles/0/0/0")
        with PIL.Image.open(io.BytesIO(top.content)) as image:
            assert image.size == (1, 1)
        known = {"If-None-Match": tile.headers["etag"]}
        assert browser.get(f"/fields/{each.id}/tiles/10/1/0", headers=known).status_code == 304
        for nowhere in ("12/0/0", "10/9/0", "10/0/9"):
            assert browser.get(f"/fields/{each.id}/tiles/{nowhere}").status_code == 404
        assert f'data-width="{size[0]}"' in browser.get(f"/fields/{each.id}").text
    place = browser.get(f"/cells/{cell}/place", follow_redirects=False)
    assert place.headers["location"] == f"/fields/{whole.id}?cell={cell}"
    with PIL.Image.open(io.BytesIO(browser.get(f"/cells/{cell}/field").content)) as image:
        assert image.width > 300
    page = browser.get(f"/projects/{slide.project_id}/slides/{slide.id}").text
    assert f'href="/fields/{whole.id}"' in page
