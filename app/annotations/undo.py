"""Taking an action back, and doing it again: the annotation that was in force before it, or its own, comes into force.

So a cell also gets back who had labelled it and how. Cells whose annotation is another by now are left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from app.annotations import queries
from app.annotations.service import Act, Labelled, already_saved, explain, mark, shown_source, store, tell, told
from app.models import Annotation, Cell
from app.models.project import lock

CHUNK = 500
"""Cells of one transaction: other people's labels wait for no more than these."""
NOTES = ("undo", "redo")


@dataclass
class Replayed(Labelled):
    """What became of the cells of an action: `items` are the present annotations of those that were changed."""

    items: list[dict[str, Any]] = field(default_factory=list)
    last: int = 0  # annotation looked at last; 0 after the end


def size(session: Session, project_id: int, action: str) -> int:
    """Return how many cells an action has labelled, CHUNK + 1 where it is more."""
    some = select(Annotation.id).where(_of(project_id, action)).limit(CHUNK + 1)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def replay(session: Session, undone: str, act: Act, *, after: int = 0) -> Replayed:
    """Take an action back, or do it again if `act.source` is "redo"; CHUNK annotations beyond the id `after`.

    The same `act` sent again changes nothing.
    """
    lock(session, act.project.id)
    rows = _annotations(session, act.project.id, undone, after)
    repeated = already_saved(session, act.action, [row.cell_id for row in rows])
    changes, in_force = _changes(rows, act.source)
    saved = repeated | {change["cell_id"] for change in changes}
    result = Replayed(saved=len(saved), last=rows[-1].id if rows else 0)
    result.skipped = [{"cell_id": row.cell_id} for row in rows if row.cell_id not in saved]
    if changes:
        result.newest_annotation_id = store(session, act, changes, in_force)
        mark(session, act, undone)
    result.items = told(act.project, _present(session, sorted(saved)))
    if changes:
        tell(session, act, result.items)
    explain(session, result)
    return result


def _of(project_id: int, action: str) -> ColumnElement[bool]:
    mine = (Annotation.project_id == project_id) & (Annotation.action == action)
    return mine & Annotation.source.not_in(NOTES)


def _annotations(session: Session, project_id: int, action: str, after: int) -> Sequence[Any]:
    earlier = aliased(Annotation)
    query = (
        select(
            Annotation.id, Annotation.cell_id, Annotation.class_id, Annotation.before_id, Annotation.source,
            earlier.class_id.label("earlier_class_id"), Cell.annotation_id.label("in_force"),
        )
        .join(Cell, Cell.id == Annotation.cell_id)
        .outerjoin(earlier, earlier.id == Annotation.before_id)
        .where(_of(project_id, action), Annotation.id > after)
        .order_by(Annotation.id)
        .limit(CHUNK)
    )  # fmt: skip
    return session.execute(query).all()


def _changes(rows: Sequence[Any], source: str) -> tuple[list[dict[str, Any]], list[int | None]]:
    """Return the notes to add and what comes into force with each; cells that have been labelled since get none."""
    notes, in_force = [], []
    for row in rows:
        left, wanted = (row.before_id, row.id) if source == "redo" else (row.id, row.before_id)
        if row.in_force == left:
            class_id = row.class_id if source == "redo" else row.earlier_class_id
            removed = row.source == ("removed" if source == "redo" else "added")
            notes.append({"cell_id": row.cell_id, "class_id": class_id, "before_id": row.in_force, "removed": removed})
            in_force.append(wanted)
    return notes, in_force


def _present(session: Session, cell_ids: Sequence[int]) -> list[dict[str, Any]]:
    found = queries.current(session, cell_ids)
    nothing = {"class": None, "source": "", "by": ""}
    labels = {
        cell_id: {"class": row.code, "source": shown_source(row.source), "by": row.by or ""}
        for cell_id, row in found.items()
    }
    return [{"cell_id": cell_id, **labels.get(cell_id, nothing)} for cell_id in cell_ids]
