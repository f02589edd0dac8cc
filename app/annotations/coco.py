"""COCO, the JSON of object detection (cocodataset.org/#format-data): fields and single cells, boxes, classes.

Ids of images are 2 x field id, or 2 x cell id + 1 for a cell that came as an image of its own; those of annotations are
cell ids, those of categories class ids. Written piece by piece, so that a million cells need no memory.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from fastapi.responses import StreamingResponse
from sqlalchemy import ColumnElement, Select, select

from app.csv_stream import in_pages
from app.models import Annotation, Cell, CellClass, Field, Image, Project, Slide, User

PIECE = 1000  # items of a piece that is sent
Item = dict[str, Any]


def labels(project: Project, classes: Sequence[CellClass]) -> StreamingResponse:
    """Answer with the present label of every labelled cell, with who gave it, when and how. Reads while it is sent."""
    info = {"description": f"Labels of {project.name}"}
    labelled = (Cell.project_id == project.id) & Cell.class_id.is_not(None)
    images = chain(_fields(project), _single_cells(labelled))
    headers = {
        "Content-Disposition": f'attachment; filename="project-{project.id}-labels.coco.json"',
        "Cache-Control": "no-store",
    }
    body = _pieces(info, classes, images, _annotations(labelled))
    return StreamingResponse(body, media_type="application/json", headers=headers)


def _pieces(
    info: Item, classes: Sequence[CellClass], images: Iterable[Item], annotations: Iterable[Item]
) -> Iterator[str]:
    codes = {each.id: each.code for each in classes}
    categories = [
        {
            "id": each.id,
            "name": each.code,
            "supercategory": codes.get(each.parent_id or 0, ""),
            "description": each.name,
        }
        for each in classes
    ]
    yield f'{{"info": {_text(info)},\n"categories": {_text(categories)},\n"images": ['
    yield from _items(images)
    yield '],\n"annotations": ['
    yield from _items(annotations)
    yield "]}\n"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _items(items: Iterable[Item]) -> Iterator[str]:
    waiting: list[str] = []
    between = "\n"
    for item in items:
        waiting.append(_text(item))
        if len(waiting) == PIECE:
            yield between + ",\n".join(waiting)
            waiting, between = [], ",\n"
    yield between + ",\n".join(waiting) if waiting else ""


def _fields(project: Project) -> Iterator[Item]:
    query = (
        select(Field.id, Field.name, Slide.accession, Image.sha256, Image.width, Image.height)
        .join(Slide, Slide.id == Field.slide_id)
        .join(Image, Image.id == Field.image_id)
        .where(Field.project_id == project.id)
    )
    for row in in_pages(query, Field.id):
        yield _image(2 * row.id, row)


def _single_cells(which: ColumnElement[bool]) -> Iterator[Item]:
    for row in in_pages(_cells(which & Cell.field_id.is_(None)), Cell.id):
        yield _image(2 * row.id + 1, row)


def _cells(which: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return (
        select(
            Cell.id, Cell.name, Slide.accession, Image.sha256, Image.width, Image.height, Cell.field_id, Cell.box,
            Cell.class_id, Annotation.source, User.email, Annotation.created_at,
        )
        .join(Slide, Slide.id == Cell.slide_id)
        .join(Image, Image.id == Cell.image_id)
        .join(Annotation, Annotation.id == Cell.annotation_id)
        .outerjoin(User, User.id == Annotation.user_id)
        .where(which)
    )  # fmt: skip


def _image(number: int, row: Any) -> Item:
    return {
        "id": number,
        "file_name": row.name,
        "width": row.width,
        "height": row.height,
        "slide": row.accession,
        "sha256": row.sha256,
    }


def _annotations(which: ColumnElement[bool]) -> Iterator[Item]:
    """Yield cells with their box in their field, or the whole of their image, in pixels."""
    for row in in_pages(_cells(which), Cell.id):
        left, top, right, bottom = row.box if row.field_id else (0, 0, row.width, row.height)
        yield {
            "id": row.id,
            "image_id": 2 * row.field_id if row.field_id else 2 * row.id + 1,
            "category_id": row.class_id,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0,
            "source": row.source,
            "labelled_by": row.email,
            "labelled_at": row.created_at.isoformat(),
        }
