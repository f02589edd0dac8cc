"""What the pages of fields show."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Cell, Field, Project, User
from app.predictions import grid
from app.predictions.service import classes_by_code, tiles


def neighbours(session: Session, field: Field) -> tuple[int | None, int | None]:
    """Return the fields before and after this one on its slide."""
    mine = Field.slide_id == field.slide_id
    before = session.scalar(select(func.max(Field.id)).where(mine, Field.id < field.id))
    return before, session.scalar(select(func.min(Field.id)).where(mine, Field.id > field.id))


def boxes(session: Session, field: Field, user: User) -> list[dict[str, Any]]:
    """Return the cells of a field with their boxes as this person may see them, in reading order."""
    project = session.get_one(Project, field.project_id)
    query = select(Cell.id, Cell.box).where(Cell.field_id == field.id, ~Cell.removed)
    places = {row.id: row.box for row in session.execute(query)}
    filters = grid.GridFilters(slide=field.slide_id, limit=1)
    page = grid.page(session, project, classes_by_code(session, project.id), filters, user=user)
    names = ("cell_id", "class_code", "by", "predicted", "confidence", "name", "why", "state")
    shown = [{name: tile[name] for name in names} for tile in tiles(session, project, user, page, list(places))]
    row = 4 * field.red_cell_px  # cells whose middles differ by less than half of it stand in one line
    found = [{**cell, "box": places[cell["cell_id"]]} for cell in shown]
    return sorted(found, key=lambda cell: (round((cell["box"][1] + cell["box"][3]) / 2 / row), cell["box"][0]))
