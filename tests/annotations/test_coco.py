"""The labels of a project as COCO."""

from collections.abc import Callable

from fastapi.testclient import TestClient

from app.db import now, transaction
from app.models import Cell, CellClass, Field, Project, User
from tests import factories


def make_cells_of_both_kinds() -> tuple[Project, int, int]:
    """NGB is a kind of NGS; one cell is cut from a field, another came as an image of its own, one more is there."""
    project = factories.make_project(["NGS", "NGB"])
    slide = factories.make_slide(project)
    cut, single, _unlabelled = factories.make_cells(slide, ["NGS"] * 3, queue=False)
    with transaction() as session:
        classes = {each.code: each for each in session.query(CellClass).filter_by(project_id=project.id)}
        classes["NGB"].parent_id = classes["NGS"].id
        cell = session.get_one(Cell, cut)
        field = Field(
            project_id=project.id, slide_id=slide.id, image_id=cell.image_id, name="größe.png", red_cell_px=40,
            created_at=now(),
        )  # fmt: skip
        session.add(field)
        session.flush()
        cell.field_id, cell.box = field.id, [3, 4, 13, 24]
    return project, cut, single


def test_labels_leave_as_coco_with_boxes_and_parents(client: TestClient, sign_in: Callable[[User], TestClient]) -> None:
    project, cut, single = make_cells_of_both_kinds()
    path = f"/projects/{project.id}/annotations.coco.json"
    sign_in(factories.make_user())
    assert client.get(path).status_code == 404
    person = factories.make_user(member_of=project)
    sign_in(person)
    empty = client.get(path).json()
    assert (empty["annotations"], len(empty["images"])) == ([], 1)
    items = [{"cell_id": cut, "class": "NGB"}, {"cell_id": single, "class": "NGS"}]
    client.post(f"/projects/{project.id}/annotations", json={"action": "a" * 8, "items": items}).raise_for_status()
    file = client.get(path).raise_for_status().json()
    names = {each["id"]: (each["name"], each["supercategory"]) for each in file["categories"]}
    images = {each["id"]: each for each in file["images"]}
    found = [(names[each["category_id"]], images[each["image_id"]], each) for each in file["annotations"]]
    assert [(name, image["file_name"], each["bbox"]) for name, image, each in found] == [
        (("NGB", "NGS"), "größe.png", [3, 4, 10, 20]),
        (("NGS", ""), "cell-1.png", [0, 0, 32, 32]),
    ]
    assert {each["labelled_by"] for each in file["annotations"]} == {person.email}
    assert [each["id"] for each in file["annotations"]] == [cut, single]
