"""Boxes by hand: a cell that was missed is cut out by a job, one that is none is removed at once."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.annotations.service import Act, remember, store, tell
from app.cells.originals import missing
from app.errors import NotFound
from app.fields.forms import BoxForm
from app.forms import refusal
from app.language import _
from app.models import Cell, Field, Image, Project, Slide, User
from app.models.project import lock
from app.slides.states import refuse_signed
from app.storage import get_storage

SMALLEST, LARGEST = 0.3, 8  # sides of a box in diameters of a red cell


def draw(session: Session, field: Field, form: BoxForm, *, action: str, by: User) -> int:
    """Queue the cutting of a cell at a box; returns the job.

    Raises Invalid, NotFound, Conflict if the slide is signed, and Gone if the time for keeping the field was over.
    """
    slide, image = session.get_one(Slide, field.slide_id), session.get_one(Image, field.image_id)
    refuse_signed(slide)
    _check(image, field, form.box)
    if not get_storage().exists(f"images/{image.sha256}"):
        raise missing(slide)
    if form.replaces is not None:
        cells_of(session, field, [form.replaces])
    wanted = {"field_id": field.id, **form.model_dump(include={"box", "replaces"})}
    return jobs.cut_cell(session, field.project_id, wanted, action=action, user_id=by.id)


def _check(image: Image, field: Field, box: Sequence[int]) -> None:
    left, top, right, bottom = box
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        size = {"width": image.width, "height": image.height}
        raise refusal({"box": _("It must lie within the field, %(width)s x %(height)s pixels.", **size)})
    sides = [side / field.red_cell_px for side in (right - left, bottom - top)]
    if min(sides) < SMALLEST or max(sides) > LARGEST:
        limits = {"least": round(SMALLEST * field.red_cell_px), "most": round(LARGEST * field.red_cell_px)}
        raise refusal({"box": _("Its sides must be %(least)s to %(most)s pixels long.", **limits)})


def remove(session: Session, field: Field, cell_ids: Sequence[int], *, action: str, by: User) -> None:
    """Take cells out of their slide. Raises NotFound, and Conflict if it is signed."""
    project = session.get_one(Project, field.project_id)
    lock(session, project.id)
    refuse_signed(session.get_one(Slide, field.slide_id))
    rows = [removal(cell) for cell in cells_of(session, field, cell_ids)]
    act = Act(project, action, "removed", by)
    store(session, act, rows)
    remember(session, act, [None] * len(rows))
    tell(session, act, [{"cell_id": cell_id, "class": None} for cell_id in cell_ids])


def removal(cell: Cell) -> dict[str, Any]:
    """Return the annotation by which a cell is removed."""
    return {
        "cell_id": cell.id, "class_id": None, "before_id": cell.annotation_id, "source": "removed", "removed": True,
    }  # fmt: skip


def cells_of(session: Session, field: Field, cell_ids: Sequence[int]) -> Sequence[Cell]:
    """Return cells of a field. Raises NotFound if one of them is not, or not any more."""
    query = select(Cell).where(Cell.id.in_(cell_ids), Cell.field_id == field.id, ~Cell.removed)
    found = session.scalars(query).all()
    if unknown := sorted(set(cell_ids) - {cell.id for cell in found}):
        raise NotFound(_("This field has no cell %(unknown)s.", unknown=", ".join(map(str, unknown[:10]))))
    return found
