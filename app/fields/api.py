"""REST endpoints of the fields: list, and the boxes of their cells by hand."""

from uuid import uuid4

from fastapi import Response
from pydantic import BaseModel, Field

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.fields import service
from app.fields.access import EditableField
from app.fields.forms import BoxForm, RemoveForm
from app.rest import PREFIX, problems, rest_router
from app.slides.access import ViewableSlide
from app.slides.queries import fields_of

router = rest_router("fields")


class FieldItem(BaseModel):
    """A field of a slide from which cells were cut."""

    id: int
    slide_id: int
    name: str = Field(description="The file name it came with.")
    width: int
    height: int
    red_cell_px: float = Field(description="Diameter of its red cells in pixels.")
    cells: int


class FieldList(BaseModel):
    """All fields of a slide."""

    items: list[FieldItem]


class Cutting(BaseModel):
    """The job at `Location` cuts the cell out."""

    job_id: int
    action: str = Field(description="The name under which it can be taken back.")


class Removed(BaseModel):
    """The cells are no part of their slide any more."""

    action: str = Field(description="The name under which it can be taken back.")


@router.get("/slides/{slide_id}/fields", summary="List the fields of a slide")
def index(slide: ViewableSlide, session: SessionDep) -> FieldList:
    """List the fields of a slide. Their cells are listed with those of the slide, each with its field and box."""
    found = fields_of(session, slide)
    return FieldList(
        items=[
            FieldItem(
                id=field.id, slide_id=slide.id, name=field.name, width=image.width, height=image.height,
                red_cell_px=round(field.red_cell_px, 2), cells=count,
            )
            for field, image, count in found
        ]
    )  # fmt: skip


@router.post("/fields/{field_id}/boxes", status_code=202, summary="Draw the box of a cell", responses=problems(410))
def draw(field: EditableField, form: BoxForm, user: CurrentUser, session: SessionDep, response: Response) -> Cutting:
    """Cut out a cell that was missed, or, with `replaces`, one in place of a cell whose box is wrong.

    The slide goes through `queued` and `processing` again. A slide whose report is signed is a conflict.
    """
    action = str(uuid4())
    job_id = service.draw(session, field, form, action=action, by=user)
    response.headers["Location"] = f"{PREFIX}/jobs/{job_id}"
    return Cutting(job_id=job_id, action=action)


@router.post("/fields/{field_id}/removals", summary="Remove the boxes of cells")
def remove(field: EditableField, form: RemoveForm, user: CurrentUser, session: SessionDep) -> Removed:
    """Take what is no cell out of its slide. A slide whose report is signed is a conflict."""
    action = str(uuid4())
    service.remove(session, field, form.cell_ids, action=action, by=user)
    return Removed(action=action)
