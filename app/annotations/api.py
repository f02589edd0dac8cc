"""REST endpoints of the annotations."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.accounts.access import CurrentUser
from app.annotations import queries, service
from app.annotations.forms import LabelItems
from app.db import SessionDep
from app.forms import Id
from app.models import Annotation
from app.projects.access import ViewableProject
from app.rest import Page, Paging, rest_router, rows_of_page

router = rest_router("annotations")


class NewAnnotations(BaseModel):
    """Cells and the codes of their classes; null takes a label back."""

    model_config = ConfigDict(extra="forbid")

    items: LabelItems
    source: Literal["label", "import"] = Field("label", description='"import" for labels given in another system.')


class HeldBack(BaseModel):
    """An item that was not saved because the cell does not carry its `if_class`."""

    cell_id: int
    class_: str | None = Field(alias="class", description="What the cell carries.")
    by: str


class Saved(BaseModel):
    """How many items were saved, and which were held back by `if_class`."""

    saved: int
    skipped: list[HeldBack]


class AnnotationItem(BaseModel):
    """Who gave which class to which cell, when, how."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    cell_id: int
    class_: str | None = Field(alias="class", description="Code of the class; null where a label was taken back.")
    by: str | None
    source: str = Field(
        description="label, accepted, reviewed, kept, review or import; undo and redo note that an action was taken "
        "back or done again."
    )
    created_at: datetime


class AnnotationQuery(Paging):
    """Which annotations are wanted."""

    cell_id: Id | None = Field(None, description="Only those of this cell.")
    current: bool = Field(False, description="Only the annotation of each cell that is in force.")


@router.post("/projects/{project_id}/annotations", status_code=201, summary="Label cells")
def create(project: ViewableProject, form: NewAnnotations, user: CurrentUser, session: SessionDep) -> Saved:
    """Give each cell its class; all of them or, if one is refused, none. A refit of the classifier follows by itself.

    An item with `if_class` is skipped when the cell does not carry that class any more.
    """
    result = service.label(session, project, form.items, action=str(uuid4()), source=form.source, by=user)
    return Saved.model_validate({"saved": result.saved, "skipped": result.skipped})


@router.get("/projects/{project_id}/annotations", summary="List annotations")
def index(
    project: ViewableProject, session: SessionDep, wanted: Annotated[AnnotationQuery, Query()]
) -> Page[AnnotationItem]:
    """List annotations in the order they were given. The history is append-only: a correction is a further item."""
    query = queries.history(project.id, cell_id=wanted.cell_id, current=wanted.current)
    rows, next_cursor = rows_of_page(session, query, Annotation.id, wanted)
    return Page(items=[AnnotationItem(**row._mapping) for row in rows], next_cursor=next_cursor)
