"""The page of a field: its picture in tiles, the boxes of its cells, and what is done to them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import RedirectResponse, Response

from app import events
from app.accounts.access import CurrentUser
from app.cells.access import ViewableCell
from app.cells.originals import missing
from app.cells.pages import answer
from app.db import SessionDep
from app.errors import NotFound
from app.fields import queries, service, tiles
from app.fields.access import EditableField, ViewableField
from app.fields.forms import NamedBox, NamedRemoval
from app.forms import PageId
from app.language import _
from app.models import Image, Project, Slide
from app.projects.queries import classes
from app.storage import get_storage
from app.templating import render

Level = Annotated[int, Path(ge=0, le=40)]
Place = Annotated[int, Path(ge=0, le=1_000_000)]

router = APIRouter(tags=["fields"])


@router.get("/fields/{field_id}")
def page(request: Request, field: ViewableField, session: SessionDep, cell: PageId = None) -> Response:
    """Show a field; `cell` is shown in its place."""
    last_event = events.newest(session)  # before all else: what comes later is sent to the page
    project = session.get_one(Project, field.project_id)
    before, after = queries.neighbours(session, field)
    return render(
        request,
        "fields/field.html",
        active="slides",
        last_event=last_event,
        project=project,
        slide=session.get_one(Slide, field.slide_id),
        field=field,
        image=session.get_one(Image, field.image_id),
        tile_size=tiles.TILE,
        overlap=tiles.OVERLAP,
        classes=classes(session, project),
        cell=cell,
        before=before,
        after=after,
    )


@router.get("/fields/{field_id}/cells")
def cells(field: ViewableField, user: CurrentUser, session: SessionDep) -> dict[str, Any]:
    """Return the cells of a field with their boxes, classes and predictions."""
    return {"cells": queries.boxes(session, field, user)}


@router.get("/fields/{field_id}/thumbnail")
def thumbnail(request: Request, field: ViewableField, session: SessionDep) -> Response:
    """Show a field as small as the page of its slide does. Raises NotFound, Gone."""
    image = session.get_one(Image, field.image_id)
    return answer(
        request,
        f"{image.sha256}-small",
        lambda: (get_storage().read(f"thumbnails/{image.sha256}"), "image/jpeg"),
        lambda: missing(session.get_one(Slide, field.slide_id)),
    )


@router.get("/fields/{field_id}/tiles/{level}/{column}/{row}")
def tile(
    request: Request, field: ViewableField, session: SessionDep, level: Level, column: Place, row: Place
) -> Response:
    """Show a part of a field at one of its sizes. Raises NotFound, Gone."""
    image = session.get_one(Image, field.image_id)
    return answer(
        request,
        image.sha256,
        lambda: (tiles.tile(image, level, column, row), "image/jpeg"),
        lambda: missing(session.get_one(Slide, field.slide_id)),
    )


@router.get("/cells/{cell_id}/place")
def place(cell: ViewableCell) -> Response:
    """Go to where a cell lies in its field. Raises NotFound for cells that were not cut from one."""
    if cell.field_id is None:
        raise NotFound(_("This cell was not cut from a field."))
    return RedirectResponse(f"/fields/{cell.field_id}?cell={cell.id}", 303)


@router.post("/fields/{field_id}/boxes", status_code=202)
def draw(field: EditableField, form: NamedBox, user: CurrentUser, session: SessionDep) -> dict[str, int]:
    """Cut out a cell at a box, or another one in its place."""
    return {"job_id": service.draw(session, field, form, action=str(form.action), by=user)}


@router.post("/fields/{field_id}/removals")
def remove(field: EditableField, form: NamedRemoval, user: CurrentUser, session: SessionDep) -> dict[str, int]:
    """Remove cells from their slide."""
    service.remove(session, field, form.cell_ids, action=str(form.action), by=user)
    return {"removed": len(form.cell_ids)}
