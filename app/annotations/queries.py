"""Reads of annotations."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.csv_stream import in_pages
from app.models import Annotation, Cell, CellClass, Image, LabelAction, Project, Reading, Scanner, Slide, User

Readers = dict[int | None, int]
"""Who saw which class in a cell: person's id -> class id."""

RECENT = 50
EXPORT_HEADER = (
    "cell_id", "slide", "scanner", "file", "image_sha256", "class", "class_name", "source",
    "labelled_by", "labelled_at",
)  # fmt: skip


def with_annotation(*columns: Any) -> Select[*tuple[Any, ...]]:
    """Select cells with their present annotation: id, code, source, by, and other columns; None without a label."""
    return (
        select(Cell.id, CellClass.code, Annotation.source, User.name.label("by"), *columns)
        .outerjoin(Annotation, Annotation.id == Cell.annotation_id)
        .outerjoin(CellClass, CellClass.id == Cell.class_id)
        .outerjoin(User, User.id == Annotation.user_id)
    )


def current(session: Session, cell_ids: Sequence[int]) -> dict[int, Any]:
    """Return the present annotation of each labelled cell: cell id -> row with code, source, by."""
    query = with_annotation().where(Cell.id.in_(cell_ids), Cell.class_id.is_not(None))
    return {row.id: row for row in session.execute(query)}


def history(project_id: int, *, cell_id: int | None, current: bool) -> Select[*tuple[Any, ...]]:
    """Select annotations, of one cell or only those in force: id, cell_id, class_, by, source, created_at."""
    query = (
        select(
            Annotation.id, Annotation.cell_id, CellClass.code.label("class_"), User.name.label("by"),
            Annotation.source, Annotation.created_at,
        )
        .outerjoin(CellClass, CellClass.id == Annotation.class_id)
        .outerjoin(User, User.id == Annotation.user_id)
    )  # fmt: skip
    if cell_id is None:
        query = query.where(Annotation.project_id == project_id)
    else:  # found by the cell; all annotations of a cell are of its project
        cell = select(Cell.id).where(Cell.id == cell_id, Cell.project_id == project_id)
        query = query.where(Annotation.cell_id.in_(cell))
    in_force = (Cell.id == Annotation.cell_id) & (Cell.annotation_id == Annotation.id)
    return query.join(Cell, in_force) if current else query


def recent(session: Session, project_id: int, user_id: int) -> Sequence[LabelAction]:
    """Return what a person did last in a project, newest first."""
    mine = (LabelAction.user_id == user_id) & (LabelAction.project_id == project_id)
    return session.scalars(select(LabelAction).where(mine).order_by(LabelAction.id.desc()).limit(RECENT)).all()


def export(project_id: int) -> Iterator[Sequence[Any]]:
    """Yield one row per labelled cell, as EXPORT_HEADER names them. Reads while it is sent."""
    query = (
        select(
            Cell.id, Slide.accession, Scanner.name, Cell.name, Image.sha256, CellClass.code, CellClass.name,
            Annotation.source, User.email, Annotation.created_at,
        )
        .join(Annotation, Annotation.id == Cell.annotation_id)
        .join(CellClass, CellClass.id == Cell.class_id)
        .join(Slide, Slide.id == Cell.slide_id)
        .join(Scanner, Scanner.id == Cell.scanner_id)
        .join(Image, Image.id == Cell.image_id)
        .outerjoin(User, User.id == Annotation.user_id)
        .where(Cell.project_id == project_id)
    )  # fmt: skip
    for row in in_pages(query, Cell.id):
        yield [*row[:-1], row[-1].isoformat()]


def second_readings(session: Session, project: Project, cell_ids: Sequence[int] | None = None) -> dict[int, Readers]:
    """Return the second readings that stand, of all cells or of some, by cell id."""
    query = _second(project)
    return _standing(session, query if cell_ids is None else query.where(Reading.cell_id.in_(cell_ids)))


def disputed(session: Session, project: Project) -> dict[int, Readers]:
    """Return the readings of cells that enough people have read and not all alike, as long as nobody has settled it.

    Giving the label again, changed or not, settles it. By cell id; who gave the label is among the readers.
    """
    present = readings_of_present_labels(session, project)
    of = select(Cell.id, Annotation.user_id, Cell.class_id).join(Annotation, Annotation.id == Cell.annotation_id)
    readings: dict[int, Readers] = {}
    for cell_id, user_id, class_id in session.execute(of.where(Cell.id.in_(present))):
        read: Readers = {**present[cell_id]}
        if class_id is not None:
            read[user_id] = class_id
        if len(read) >= project.readers and len(set(read.values())) > 1:
            readings[cell_id] = read
    return readings


def readings_of_present_labels(
    session: Session, project: Project, cell_ids: Sequence[int] | None = None
) -> dict[int, Readers]:
    """Return what `second_readings` does, without readings since which the label was given again."""
    query = _second(project).join(Cell, (Cell.id == Reading.cell_id) & (Cell.annotation_id == Reading.annotation_id))
    return _standing(session, query if cell_ids is None else query.where(Cell.id.in_(cell_ids)))


def _second(project: Project) -> Select[int, int, int | None]:
    query = select(Reading.cell_id, Reading.user_id, Reading.class_id).order_by(Reading.id)
    return query.where(Reading.project_id == project.id, Reading.kind == "second")


def _standing(session: Session, query: Select[int, int, int | None]) -> dict[int, Readers]:
    """Keep what each person said of a cell last, nothing where they took it back."""
    found: dict[int, Readers] = {}
    for cell_id, user_id, class_id in session.execute(query):
        readers = found.setdefault(cell_id, {})
        readers.pop(user_id, None)
        if class_id is not None:
            readers[user_id] = class_id
    return {cell_id: readers for cell_id, readers in found.items() if readers}
