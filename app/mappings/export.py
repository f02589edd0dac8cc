"""Labels of a project read in another scheme, as rows of a CSV file that a project with that scheme can import."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import select

from app.csv_stream import in_pages
from app.models import Annotation, Cell, CellClass, ClassMapping, Image, Slide

HEADER: Final = ("slide", "file", "image_sha256", "class", "class_here", "source", "labelled_at")


def rows(mapping: ClassMapping) -> Iterator[Sequence[Any]]:
    """Yield a row per labelled cell whose class has a counterpart, in the order of cell ids.

    A class that came after the mapping was saved has none; one that was given another code since is found by its id.
    """
    target_of = {row["class_id"]: row["target"] for row in mapping.rows if row["target"]}
    query = (
        select(
            Cell.id, Slide.accession, Cell.name, Image.sha256, Cell.class_id, CellClass.code,
            Annotation.source, Annotation.created_at,
        )
        .join(Slide, Slide.id == Cell.slide_id)
        .join(Image, Image.id == Cell.image_id)
        .join(CellClass, CellClass.id == Cell.class_id)
        .join(Annotation, Annotation.id == Cell.annotation_id)
        .where(Cell.project_id == mapping.project_id, ~Cell.removed, Cell.class_id.in_(target_of))
    )  # fmt: skip
    for row in in_pages(query, Cell.id):
        yield row[1], row[2], row[3], target_of[row.class_id], row.code, row.source, row.created_at.isoformat()
