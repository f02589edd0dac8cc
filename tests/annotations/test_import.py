"""Labels from files: shown first, then given as one action."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import reading
from app.models import Cell, CellClass, LabelAction, Project, Slide
from tests import factories
from tests.slides.test_fields import field_of
from tests.slides.uploading import upload

Work = Callable[[], int]
LOOKS = ["NGS", "LYT", "MON", "NGS"]


@pytest.fixture
def project(installation: object) -> Project:
    return factories.make_project(["NGS", "LYT", "MON"])


@pytest.fixture
def slide(project: Project) -> Slide:
    return factories.make_slide(project)


@pytest.fixture
def cells(slide: Slide) -> list[int]:
    return factories.make_cells(slide, LOOKS)


@pytest.fixture
def browser(sign_in: Callable[..., TestClient], project: Project) -> TestClient:
    return sign_in(factories.make_user("manager"))


def label(browser: TestClient, project: Project, labels: Mapping[int, str]) -> None:
    items = [{"cell_id": cell_id, "class": code} for cell_id, code in labels.items()]
    browser.post(
        f"/projects/{project.id}/annotations", json={"action": str(uuid4()), "items": items}
    ).raise_for_status()


def look_into(browser: TestClient, project: Project, data: str | bytes) -> str:
    files = {"files": ("labels.csv", data)}
    answer = browser.post(f"/projects/{project.id}/annotations/import", files=files)
    return " ".join(answer.text[answer.text.index("<main") :].split())


def give(browser: TestClient, project: Project, page: str, work: Work, **more: Any) -> str:
    found = re.search(r'name="labels" value="([^"]*)"', page)
    assert found, page
    path = f"/projects/{project.id}/annotations/import/labels"
    answer = browser.post(path, data={"labels": found[1], **more}, follow_redirects=False)
    assert answer.status_code == 303
    work()
    return browser.get(answer.headers["location"]).text


def labels_of(project: Project) -> dict[int, str | None]:
    query = select(Cell.id, CellClass.code).outerjoin(CellClass, CellClass.id == Cell.class_id)
    with reading() as session:
        return {row.id: row.code for row in session.execute(query.where(Cell.project_id == project.id))}


def test_what_one_project_exports_another_imports(
    browser: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    label(browser, project, dict(zip(cells, LOOKS, strict=True)))
    for kind in ("csv", "coco.json"):
        other = factories.make_project(["NGS", "LYT", "MON"])
        copies = factories.copy_cells(cells, factories.make_slide(other))
        page = look_into(browser, other, browser.get(f"/projects/{project.id}/annotations.{kind}").content)
        assert "4 labels, of which 4 can be used. 4 cells get one; 0 of them have another label now." in page
        assert set(labels_of(other).values()) == {None}
        assert "4 labels were imported" in give(browser, other, page, work)
        assert labels_of(other) == dict(zip(copies, LOOKS, strict=True))


def test_rows_that_fit_nothing_are_named_and_labels_are_kept_unless_one_says_so(
    browser: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    label(browser, project, {cells[0]: "MON"})
    file = f"cell_id;Class\n{cells[0]};NGS\n{cells[1]};lyt\n999999;NGS\n{cells[2]};XYZ\n{cells[1]};NGS\n"
    page = look_into(browser, project, file)
    assert "5 labels, of which 2 can be used. 2 cells get one; 1 of them has another label now." in page
    for reason in ("line 4: no cell", "line 5: this project has no class XYZ", "line 6: another row"):
        assert reason in page
    give(browser, project, page, work)
    assert labels_of(project) == {cells[0]: "MON", cells[1]: "LYT", cells[2]: None, cells[3]: None}
    give(browser, project, page, work, overwrite="true")
    assert labels_of(project)[cells[0]] == "NGS"

    with reading() as session:
        newest = session.scalars(select(LabelAction).order_by(LabelAction.id.desc()).limit(1)).one()
    assert newest.source == "import"
    browser.post(
        f"/projects/{project.id}/actions/{newest.action}/undo", json={"action": str(uuid4())}
    ).raise_for_status()
    assert labels_of(project)[cells[0]] == "MON"


def test_boxes_of_coco_mean_the_cells_they_overlap(browser: TestClient, project: Project, work: Work) -> None:
    upload(browser, factories.make_slide(project), [("one.png", field_of(["NGS", "LYT"], 1))], "field")
    work()
    with reading() as session:
        first = session.scalars(select(Cell).order_by(Cell.id)).first()
    assert first is not None
    assert first.box is not None
    left, top, right, bottom = first.box
    boxes = [[left + 3, top - 2, right - left, bottom - top], [0, 0, 12, 12]]
    file = {
        "images": [{"id": "a", "file_name": "one.png"}],
        "categories": [{"id": 7, "name": "lyt"}],
        "annotations": [{"image_id": "a", "category_id": 7, "bbox": box} for box in boxes],
    }
    page = look_into(browser, project, json.dumps(file))
    assert "2 labels, of which 1 can be used." in page
    assert "annotation 2: no cell of this project fits" in page
    give(browser, project, page, work)
    assert labels_of(project)[first.id] == "LYT"


def test_other_files_are_refused(browser: TestClient, project: Project) -> None:
    for data, reason in [
        (b"\xff\xfe\x00", "neither CSV nor COCO"),
        ("name,age\na,1\n", "first line must name a column class"),
        ('{"images": []}', "no COCO file"),
        ('{"images": [', "no COCO file"),
    ]:
        assert reason in look_into(browser, project, data)
    answer = browser.post(f"/projects/{project.id}/annotations/import/labels", data={"labels": "x"})
    assert answer.status_code == 422


def test_a_program_imports_a_file_by_rest_and_looks_before(
    browser: TestClient, project: Project, cells: list[int], work: Work
) -> None:
    token = {"Authorization": f"Bearer {factories.make_token(factories.make_user('manager'))}"}
    path = f"/api/v1/projects/{project.id}/annotations/import"
    file = {"files": ("labels.csv", f"cell_id,class\n{cells[0]},NGS\n{cells[1]},XYZ\n")}
    looked = browser.post(f"{path}?dry_run=true", files=file, headers=token).json()
    assert (looked["rows"], looked["cells"], looked["unused"], looked["job_id"]) == (2, 1, 1, None)
    assert "no class XYZ" in looked["problems"][0]
    given = browser.post(path, files=file, headers=token)
    assert (given.status_code, given.headers["location"]) == (202, f"/api/v1/jobs/{given.json()['job_id']}")
    work()
    assert labels_of(project) == {cells[0]: "NGS", **dict.fromkeys(cells[1:])}
    refused = browser.post(path, files={"files": ("labels.csv", "nothing")}, headers=token)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
