"""The cells that were cut from the fields of a slide, with their boxes and classes, as COCO (https://cocodataset.org)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Cell, Field, Image
from app.reports.outputs.printed import Printed


def document(session: Session, report: Printed) -> dict[str, Any]:
    """Return fields as images and their cells as annotations; unclassified cells have a category of their own, 0.

    Besides the members of COCO an annotation has `how` its class came about and the `score` of a predicted one.
    """
    content = report.content
    fields = session.execute(
        select(Field, Image)
        .join(Image, Image.id == Field.image_id)
        .where(Field.slide_id == content.header.slide_id)
        .order_by(Field.id)
    ).all()
    boxes: dict[int, tuple[int, list[int]]] = {
        row.id: (row.field_id, row.box)
        for row in session.execute(
            select(Cell.id, Cell.field_id, Cell.box).where(
                Cell.slide_id == content.header.slide_id, Cell.field_id.is_not(None)
            )
        )
    }
    categories = _categories(report)
    return {
        "info": {
            "description": f"{report.title}, {report.status}",
            "version": str(content.header.version),
            "date_created": report.moment.isoformat(timespec="seconds"),
        },
        "images": [
            {"id": field.id, "file_name": field.name, "width": image.width, "height": image.height}
            for field, image in fields
        ],
        "categories": [{"id": number, "name": code, "supercategory": "cell"} for code, number in categories.items()],
        "annotations": _annotations(report, boxes, categories),
    }


def _categories(report: Printed) -> dict[str, int]:
    codes = [row.code for row in report.content.rows if len(row.members) == 1]
    codes += [each.code for each in report.content.beside]
    return {"unclassified": 0, **{code: number for number, code in enumerate(codes, 1)}}


def _annotations(
    report: Printed, boxes: Mapping[int, tuple[int, list[int]]], categories: Mapping[str, int]
) -> list[dict[str, Any]]:
    found = []
    for cell in report.content.cells:
        if cell.cell_id not in boxes:
            continue
        field_id, (left, top, right, bottom) = boxes[cell.cell_id]
        width, height = right - left, bottom - top
        annotation: dict[str, Any] = {
            "id": cell.cell_id,
            "image_id": field_id,
            "category_id": categories[cell.class_ or "unclassified"],
            "bbox": [left, top, width, height],
            "area": width * height,
            "iscrowd": 0,
            "how": cell.how,
        }
        if cell.how == "predicted" and cell.probability is not None:
            annotation["score"] = round(cell.probability, 4)
        found.append(annotation)
    return found
