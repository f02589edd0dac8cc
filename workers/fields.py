"""Cuts cells out of fields at boxes that people draw."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotations.service import Act, already_saved, remember, store, tell
from app.db import reading
from app.events import publish
from app.fields import service
from app.models import Cell, Field, Image, Project, Slide, User
from app.models.project import lock
from app.projects import queries
from app.slides import states
from app.storage import get_storage
from workers import cell_rows, slide_files
from workers.examining import kept_cell
from workers.ml.field_files import open_field
from workers.ml.fields import cut_at
from workers.ml.regions import Box
from workers.outcomes import Found
from workers.runner import Task
from workers.slide_files import KeptFile


def cut_cell(task: Task) -> None:
    """Make a cell of a box in a field; with `replaces`, that cell goes and its label is the new one's. Safe to run
    twice: the same box gives the same image, which is one cell of a slide."""
    wanted = task.arguments
    with reading() as session:
        field = session.get_one(Field, wanted["field_id"])
        image = session.get_one(Image, field.image_id)
    box = Box(*wanted["box"])
    pixels = cut_at(open_field(get_storage().local_path(f"images/{image.sha256}")), field.red_cell_px, box)
    x, y = box.center
    found = kept_cell(pixels, f"{field.name} {round(x)},{round(y)}", box)
    files = [KeptFile("images", found.sha256, found.data)]
    slide_files.put(files)
    with task.transaction() as session:
        lock(session, task.project_id)
        slide = session.get_one(Slide, field.slide_id)
        was = slide.state
        states.reopen(session, slide)
        _add(session, task, field, found)
        slide_files.put_back(files)
        if was != "receiving":
            states.complete(session, slide)
        publish(session, task.project_id, "field", {"field_id": field.id})


def _add(session: Session, task: Task, field: Field, found: Found) -> None:
    wanted = task.arguments
    cell, is_new = _cell(session, field, found)
    old = session.get(Cell, wanted["replaces"] or 0)
    old = None if old is None or old is cell or old.removed else old
    cell.field_id, cell.box = field.id, list(wanted["box"])
    rows: list[dict[str, Any]] = []
    if is_new or cell.removed:
        row = {"cell_id": cell.id, "class_id": old.class_id if old else None, "before_id": cell.annotation_id}
        rows.append({**row, "source": "added"})
    if old:
        rows.append(service.removal(old))
    if not rows or already_saved(session, wanted["action"], [row["cell_id"] for row in rows]):
        return
    by = session.get_one(User, wanted["user_id"])
    act = Act(session.get_one(Project, task.project_id), wanted["action"], "moved" if old else "added", by)
    store(session, act, rows)
    remember(session, act, [row["class_id"] for row in rows][:1])
    codes = {each.id: each.code for each in queries.classes(session, act.project)}
    tell(session, act, [{"cell_id": row["cell_id"], "class": codes.get(row["class_id"])} for row in rows])


def _cell(session: Session, field: Field, found: Found) -> tuple[Cell, bool]:
    """Return the cell of the slide that shows this image, and whether it is a new one, queued for its embedding."""
    ids, _new = cell_rows.add_images(session, [cell_rows.image_row(found)])
    image_id = ids[found.sha256]
    row = cell_rows.cell_row(session.get_one(Slide, field.slide_id), image_id, found, field.id)
    is_new = bool(cell_rows.add_cells(session, [row]))
    cell_rows.queue_embedding(session, field.project_id, [image_id])
    return session.scalars(select(Cell).filter_by(slide_id=field.slide_id, image_id=image_id)).one(), is_new
