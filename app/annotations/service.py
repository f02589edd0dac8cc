"""Giving classes to cells. Append-only: a change of mind is a new annotation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session, aliased

from app import events, jobs
from app.annotations.forms import LabelItem
from app.cells.sampling import drawn
from app.db import now
from app.errors import Invalid, NotFound
from app.language import _
from app.models import Annotation, Cell, CellClass, Project, User
from app.models.project import lock
from app.projects.queries import classes


@dataclass
class Labelled:
    """What became of the items of one action: how many were saved, and which another person's label held back."""

    saved: int = 0
    newest_annotation_id: int = 0  # scores whose `newest_annotation_id` is as high know of this action
    skipped: list[dict[str, Any]] = field(default_factory=list)


def label(
    session: Session, project: Project, items: Sequence[LabelItem], *, action: str, source: str, by: User
) -> Labelled:
    """Give each cell its class (None takes the label back), queue a refit, and tell everybody.

    An item with `if_class` is skipped when the cell does not carry that class any more. The same `action` sent again
    changes nothing. Seconds are dropped where the project is not timed. Raises NotFound for a cell and Invalid for a
    class that is not of this project.
    """
    lock(session, project.id)
    class_ids = _class_ids(session, project, items)
    cells = _cells(session, project, items)
    repeated = _already_saved(session, action, cells)
    timed = project.timed and source != "import"
    result = Labelled()
    rows = []
    for item in items:
        cell = cells[item.cell_id]
        if item.cell_id in repeated:
            result.saved += 1
        elif "if_class" in item.model_fields_set and class_ids[item.if_class] != cell.class_id:
            result.skipped.append({"cell_id": cell.id})
        else:
            seconds = item.seconds if timed else None
            rows.append({"cell_id": cell.id, "class_id": class_ids[item.class_], "seconds": seconds})
    if rows:
        result.newest_annotation_id = _write(session, project, rows, action=action, source=source, by=by)
        codes = {class_id: code for code, class_id in class_ids.items()}
        changed = [{"cell_id": row["cell_id"], "class": codes[row["class_id"]]} for row in _told(project, rows)]
        payload = {"action": action, "by": by.name, "source": shown_source(source), "items": changed}
        events.publish(session, project.id, "labels", payload)
        jobs.fit_classifier(session, project.id)
    result.saved += len(rows)
    _explain(session, result)
    return result


def undo_items(
    session: Session, project: Project, action: str, *, after: int, limit: int
) -> tuple[list[LabelItem], int]:
    """Return what gives cells back the class they had before an action, and the id of the last annotation looked at.

    Only annotations above the id `after` are looked at, `limit` of them, and only where nobody has labelled since.
    """
    mine = (Annotation.project_id == project.id) & (Annotation.action == action) & (Annotation.id > after)
    query = select(Annotation).join(Cell, Cell.annotation_id == Annotation.id).where(mine)
    given = session.scalars(query.order_by(Annotation.id).limit(limit)).all()
    earlier = aliased(Annotation)
    before = (
        select(Annotation.id, CellClass.code)
        .join(earlier, (earlier.cell_id == Annotation.cell_id) & (earlier.id < Annotation.id))
        .outerjoin(CellClass, CellClass.id == earlier.class_id)
        .where(Annotation.id.in_([each.id for each in given]))
        .order_by(earlier.id)  # the last one of a cell stands
    )
    old = {row.id: row.code for row in session.execute(before)}
    codes: dict[int | None, str | None] = {None: None, **{item.id: item.code for item in classes(session, project)}}
    items = [LabelItem(cell_id=a.cell_id, class_=old.get(a.id), if_class=codes[a.class_id]) for a in given]
    return items, given[-1].id if given else after


def shown_source(source: str) -> str:
    """Return how the grid shows an annotation: "accepted" for a prediction somebody took over, else "label"."""
    return "accepted" if source in ("accepted", "reviewed") else "label"


def _told(project: Project, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out cells that others shall read without knowing their label."""
    hidden = drawn(np.array([row["cell_id"] for row in rows], np.int64), project.second_share, "second")
    return [row for row, hide in zip(rows, hidden, strict=True) if not hide]


def _class_ids(session: Session, project: Project, items: Sequence[LabelItem]) -> dict[str | None, int | None]:
    query = select(CellClass.code, CellClass.id).where(CellClass.project_id == project.id)
    ids: dict[str | None, int | None] = {None: None, **{row.code: row.id for row in session.execute(query)}}
    wanted = {item.class_ for item in items} | {item.if_class for item in items}
    if unknown := sorted(code for code in wanted - ids.keys() if code):
        raise Invalid(_("class: this project has no class %(unknown)s.", unknown=", ".join(unknown)))
    return ids


def _cells(session: Session, project: Project, items: Sequence[LabelItem]) -> dict[int, Any]:
    wanted = {item.cell_id for item in items}
    query = select(Cell.id, Cell.class_id).where(Cell.id.in_(wanted), Cell.project_id == project.id)
    cells = {row.id: row for row in session.execute(query)}
    if unknown := sorted(wanted - cells.keys()):
        raise NotFound(_("cell_id: this project has no cell %(unknown)s.", unknown=", ".join(map(str, unknown[:10]))))
    return cells


def _already_saved(session: Session, action: str, cells: dict[int, Any]) -> set[int]:
    query = select(Annotation.cell_id).where(Annotation.cell_id.in_(cells), Annotation.action == action)
    return set(session.scalars(query))


def _write(
    session: Session,
    project: Project,
    rows: Sequence[dict[str, Any]],
    *,
    action: str,
    source: str,
    by: User,
) -> int:
    shared = {
        "project_id": project.id,
        "user_id": by.id,
        "source": source,
        "action": action,
        "created_at": now(),
    }
    statement = insert(Annotation).returning(Annotation.id, sort_by_parameter_order=True)
    ids = session.scalars(statement, [{**shared, **row} for row in rows]).all()
    session.execute(
        update(Cell),
        [
            {"id": row["cell_id"], "class_id": row["class_id"], "annotation_id": annotation_id}
            for row, annotation_id in zip(rows, ids, strict=True)
        ],
    )
    return max(ids)


def _explain(session: Session, result: Labelled) -> None:
    """Say which class each skipped cell carries now, and who gave it."""
    if not result.skipped:
        return
    query = (
        select(Cell.id, CellClass.code, User.name)
        .outerjoin(CellClass, CellClass.id == Cell.class_id)
        .outerjoin(Annotation, Annotation.id == Cell.annotation_id)
        .outerjoin(User, User.id == Annotation.user_id)
        .where(Cell.id.in_([item["cell_id"] for item in result.skipped]))
    )
    result.skipped = [{"cell_id": row.id, "class": row.code, "by": row.name or ""} for row in session.execute(query)]
