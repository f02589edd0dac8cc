"""Pictures of the cells."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from app.cells import pictures
from app.cells.access import ViewableCell, ViewableImage
from app.cells.originals import lost, originals_deleted, received_of
from app.db import SessionDep
from app.errors import AppError, NotFound
from app.forms import PathId
from app.language import _
from app.models import Field, Image
from app.storage import CHUNK, get_storage

AROUND = 12  # red cells across

router = APIRouter(tags=["cells"])


def answer(
    request: Request, etag: str, make: Callable[[], tuple[bytes, str]], why_lost: Callable[[], AppError]
) -> Response:
    """Answer with bytes that never change under their address, or 304 to whoever has them. Raises what `why_lost`
    returns where the file they are made of is gone."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        data, media_type = make()
    except FileNotFoundError:
        raise why_lost() from None
    return Response(data, headers=headers, media_type=media_type)


@router.get("/cells/{cell_id}/thumbnail")
def thumbnail(request: Request, cell_id: PathId, image: ViewableImage, session: SessionDep) -> Response:
    """Show a cell as small as the grid does."""
    return answer(
        request,
        f"{image.sha256}-small",
        lambda: (pictures.thumbnail(image), "image/jpeg"),
        lambda: lost(session, cell_id),
    )


@router.get("/cells/{cell_id}/image")
def full_size(request: Request, cell_id: PathId, image: ViewableImage, session: SessionDep) -> Response:
    """Show a cell at its full size."""
    return answer(request, f"{image.sha256}-full", lambda: pictures.full_size(image), lambda: lost(session, cell_id))


@router.get("/cells/{cell_id}/field")
def field(request: Request, cell: ViewableCell, session: SessionDep) -> Response:
    """Show the field around a cell that was cut from one. Raises NotFound for other cells."""
    if cell.field_id is None or cell.box is None:
        raise NotFound(_("This cell was not cut from a field."))
    of, box = session.get_one(Field, cell.field_id), cell.box
    image = session.get_one(Image, of.image_id)
    side = AROUND * of.red_cell_px
    return answer(
        request,
        f"{image.sha256}-{cell.id}",
        lambda: (pictures.surroundings(image, box, side), "image/jpeg"),
        lambda: lost(session, cell.id),
    )


@router.get("/cells/{cell_id}/original")
def original(cell: ViewableCell, image: ViewableImage, session: SessionDep) -> Response:
    """Download the file as it was received where the project keeps that, else the image made of it; browsers save it
    and never show it. Raises Gone or NotFound."""
    received = received_of(session, cell)
    key = f"originals/{received.sha256}" if received else f"images/{image.sha256}"
    try:
        if originals_deleted(session, cell):
            raise FileNotFoundError
        file = get_storage().open(key)
    except FileNotFoundError:
        raise lost(session, cell.id) from None

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(CHUNK):
                yield piece

    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(cell.name.rpartition('/')[2], safe='')}",
        "Content-Length": str(received.size if received else image.size),
        "Content-Security-Policy": "sandbox",
    }
    media_type = "application/octet-stream" if received else f"image/{image.format.lower()}"
    return StreamingResponse(pieces(), headers=headers, media_type=media_type)
