"""REST endpoints of the cells. What is known about one is in app.predictions.results_api."""

from datetime import datetime
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from app.cells import pages
from app.cells.access import ViewableImage
from app.db import SessionDep
from app.forms import PathId
from app.models import Cell, CellClass, Image
from app.rest import Page, PagingQuery, problems, rest_router, rows_of_page
from app.slides.access import ViewableSlide

router = rest_router("cells")


class CellItem(BaseModel):
    """One single-cell image of a slide."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    project_id: int
    slide_id: int
    scanner_id: int
    name: str = Field(description="The file name it came with.")
    image_sha256: str
    width: int
    height: int
    class_: str | None = Field(alias="class", description="Code of the present label.")
    field_id: int | None = Field(description="The field it was cut from, if any.")
    box: list[int] | None = Field(description="Its place in the field: left, top, right, bottom in pixels.")
    created_at: datetime


def cell_item(cell: Cell, image: Image, code: str | None) -> CellItem:
    """Return a cell as lists show it."""
    return CellItem(
        id=cell.id,
        project_id=cell.project_id,
        slide_id=cell.slide_id,
        scanner_id=cell.scanner_id,
        name=cell.name,
        image_sha256=image.sha256,
        width=image.width,
        height=image.height,
        class_=code,
        field_id=cell.field_id,
        box=cell.box,
        created_at=cell.created_at,
    )


@router.get("/slides/{slide_id}/cells", summary="List the cells of a slide")
def index(slide: ViewableSlide, session: SessionDep, paging: PagingQuery) -> Page[CellItem]:
    """List cells in the order they were stored, but for those removed by hand. See the project's predictions for
    what they are predicted to be."""
    query = (
        select(Cell.id, Cell, Image, CellClass.code)
        .join(Image, Image.id == Cell.image_id)
        .outerjoin(CellClass, CellClass.id == Cell.class_id)
        .where(Cell.slide_id == slide.id, ~Cell.removed)
    )
    rows, next_cursor = rows_of_page(session, query, Cell.id, paging)
    return Page(items=[cell_item(row.Cell, row.Image, row.code) for row in rows], next_cursor=next_cursor)


def _picture(*media_types: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": "The picture.", "content": {media_type: {} for media_type in media_types}},
        304: {"description": "You have it already (If-None-Match)."},
        **problems(410),
    }


@router.get(
    "/cells/{cell_id}/image",
    summary="Fetch the image of a cell",
    response_class=Response,
    responses=_picture("image/png", "image/jpeg"),
)
def full_size(request: Request, cell_id: PathId, image: ViewableImage, session: SessionDep) -> Response:
    """Return a cell at its full size, encoded anew from what was uploaded. It never changes."""
    return pages.full_size(request, cell_id, image, session)


@router.get(
    "/cells/{cell_id}/thumbnail",
    summary="Fetch the thumbnail of a cell",
    response_class=Response,
    responses=_picture("image/jpeg"),
)
def thumbnail(request: Request, cell_id: PathId, image: ViewableImage, session: SessionDep) -> Response:
    """Return a cell as small as the browser shows it. It never changes."""
    return pages.thumbnail(request, cell_id, image, session)
