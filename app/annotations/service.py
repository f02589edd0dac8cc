"""Giving classes to cells. Append-only: a change of mind is a new annotation."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app import events, jobs
from app.annotations.forms import LabelItem
from app.annotations.queries import with_annotation
from app.cells.sampling import drawn
from app.db import now
from app.errors import Invalid, NotFound
from app.language import _
from app.models import Annotation, Cell, CellClass, LabelAction, Project, User
from app.models.project import lock


@dataclass(frozen=True)
class Act:
    """What somebody does, how, and the id under which it is done only once."""

    project: Project
    action: str
    source: str
    by: User


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
    repeated = already_saved(session, action, cells)
    timed = project.timed and source != "import"
    result = Labelled()
    rows: list[dict[str, Any]] = []
    for item in items:
        cell = cells[item.cell_id]
        if item.cell_id in repeated:
            result.saved += 1
        elif "if_class" in item.model_fields_set and class_ids[item.if_class] != cell.class_id:
            result.skipped.append({"cell_id": cell.id})
        else:
            row = {"cell_id": cell.id, "class_id": class_ids[item.class_], "before_id": cell.annotation_id}
            rows.append({**row, "seconds": item.seconds if timed else None})
    if rows:
        act = Act(project, action, source, by)
        result.newest_annotation_id = store(session, act, rows)
        remember(session, act, (row["class_id"] for row in rows))
        codes = {class_id: code for code, class_id in class_ids.items()}
        changed = [{"cell_id": row["cell_id"], "class": codes[row["class_id"]]} for row in told(project, rows)]
        tell(session, act, changed)
    result.saved += len(rows)
    explain(session, result)
    return result


def shown_source(source: str) -> str:
    """Return how the grid shows an annotation: "accepted" for a prediction somebody took over, else "label"."""
    return "accepted" if source in ("accepted", "reviewed") else "label"


def tell(session: Session, act: Act, items: Sequence[dict[str, Any]]) -> None:
    """Tell everybody which cells have which label now."""
    payload = {
        "action": act.action,
        "by": act.by.name,
        "source": shown_source(act.source),
        "unseen": act.source == "reviewed",
        "items": items,
    }
    events.publish(session, act.project.id, "labels", payload)


def told(project: Project, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is said of cells that others shall read without knowing their label."""
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
    query = select(Cell.id, Cell.class_id, Cell.annotation_id).where(
        Cell.id.in_(wanted), Cell.project_id == project.id, ~Cell.removed
    )
    cells = {row.id: row for row in session.execute(query)}
    if unknown := sorted(wanted - cells.keys()):
        raise NotFound(_("cell_id: this project has no cell %(unknown)s.", unknown=", ".join(map(str, unknown[:10]))))
    return cells


def already_saved(session: Session, action: str, cells: Iterable[int]) -> set[int]:
    """Return which cells an action that was sent again has changed the first time."""
    query = select(Annotation.cell_id).where(Annotation.cell_id.in_(cells), Annotation.action == action)
    return set(session.scalars(query))


def store(
    session: Session, act: Act, rows: Sequence[dict[str, Any]], in_force: Sequence[int | None] | None = None
) -> int:
    """Add annotations, put them in force, and queue a refit; returns the id of the newest.

    Rows hold columns of annotations, and whether the cell is `removed` by them. Where these are mere notes, `in_force`
    names the annotations that come into force instead, None for none.
    """
    removed = [row.pop("removed", False) for row in rows]
    shared = {
        "project_id": act.project.id,
        "user_id": act.by.id,
        "source": act.source,
        "action": act.action,
        "created_at": now(),
    }
    statement = insert(Annotation).returning(Annotation.id, sort_by_parameter_order=True)
    values = [{**shared, **row} for row in rows]
    ids = session.scalars(statement, values).all()
    session.execute(
        update(Cell),
        [
            {"id": row["cell_id"], "class_id": row["class_id"], "annotation_id": annotation_id, "removed": gone}
            for row, annotation_id, gone in zip(rows, ids if in_force is None else in_force, removed, strict=True)
        ],
    )
    jobs.fit_classifier(session, act.project.id)
    return max(ids)


def remember(session: Session, act: Act, class_ids: Iterable[int | None]) -> None:
    """Note what an action did, for the list of recent ones; one of many cells comes in parts."""
    found = session.scalar(select(LabelAction).filter_by(project_id=act.project.id, action=act.action))
    if found is None:
        found = LabelAction(
            project_id=act.project.id, user_id=act.by.id, action=act.action, source=act.source, counts={},
            created_at=now(),
        )  # fmt: skip
        session.add(found)
    counts = Counter(found.counts) + Counter(str(class_id or 0) for class_id in class_ids)
    found.counts = dict(counts)


def mark(session: Session, act: Act, undone: str) -> None:
    """Note in that list that an action was taken back, or done again."""
    mine = (LabelAction.project_id == act.project.id) & (LabelAction.action == undone)
    session.execute(update(LabelAction).where(mine).values(undone=act.source == "undo"))


def explain(session: Session, result: Labelled) -> None:
    """Say which class each skipped cell carries now, and who gave it."""
    if not result.skipped:
        return
    query = with_annotation().where(Cell.id.in_([item["cell_id"] for item in result.skipped]))
    result.skipped = [{"cell_id": row.id, "class": row.code, "by": row.by or ""} for row in session.execute(query)]
