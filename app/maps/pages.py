"""The page of the map, what it is drawn from, and the way of caught cells into the grid."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from app import events, job_queries, jobs
from app.accounts.access import CurrentUser
from app.cells.index import columns_of
from app.db import SessionDep
from app.errors import Conflict
from app.forms import LARGEST_ID, Id, PathId
from app.language import _
from app.maps import service
from app.maps.queries import map_of, open_job
from app.predictions import keys
from app.predictions.batches import where
from app.projects import queries
from app.projects.access import ViewableProject
from app.scanners.queries import scanners
from app.templating import render

router = APIRouter(tags=["map"])


class CaughtForm(BaseModel):
    """Cells caught on the map, in the order in which the grid shall show them."""

    cell_ids: list[Id]


@router.get("/projects/{project_id}/map")
def page(request: Request, project: ViewableProject, user: CurrentUser, session: SessionDep) -> HTMLResponse:
    """Show the map, or what is missing for one."""
    last_event = events.newest(session)  # before all else: what comes later is sent to the page
    found = map_of(session, project)
    return render(
        request,
        "maps/map.html",
        active="map",
        project=project,
        last_event=last_event,
        map=found,
        job=open_job(session, project),
        total=len(columns_of(session, project.id)),
        waiting=job_queries.remaining_images(session, project.id),
        classes=[
            {"id": each.id, "code": each.code, "name": each.name, "color": each.color}
            for each in queries.classes(session, project)
        ],
        scanners=[{"id": each.id, "name": each.name} for each in scanners(session, project)],
        most_caught=service.MOST_CAUGHT,
        keys=keys.sheet(user, {}, keys.MAP),
    )


@router.post("/projects/{project_id}/map")
def lay_out(project: ViewableProject, session: SessionDep) -> RedirectResponse:
    """Lay the cells out, anew where there is a map; a worker does it."""
    if not len(columns_of(session, project.id)):
        raise Conflict(_("There are no cells yet: upload some to a slide."))
    jobs.lay_out_map(session, project.id)
    return RedirectResponse(f"/projects/{project.id}/map", 303)


@router.get("/projects/{project_id}/map/{map_id}/points")
def points(
    request: Request,
    project: ViewableProject,
    map_id: PathId,
    session: SessionDep,
    start: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
) -> Response:
    """Answer where the cells of a map lie, from one on; what was answered before stays true."""
    found = service.find_map(session, project, map_id)
    return _answer(request, f"{found.artifact}-{start}", lambda: service.points(session, found, start))


@router.get("/projects/{project_id}/map/{map_id}/values")
def values(
    request: Request, project: ViewableProject, user: CurrentUser, map_id: PathId, session: SessionDep
) -> Response:
    """Answer label, prediction and confidence of the cells of a map, in its order."""
    data = service.values(session, project, user, service.find_map(session, project, map_id))
    return _answer(request, hashlib.sha256(data).hexdigest(), lambda: data)


@router.post("/projects/{project_id}/map/batches")
def catch(project: ViewableProject, user: CurrentUser, session: SessionDep, form: CaughtForm) -> dict[str, Any]:
    """Put caught cells into a batch; the grid then opens the address."""
    batch = service.catch(session, project, user, form.cell_ids)
    return where(batch)


def _answer(request: Request, etag: str, make: Callable[[], bytes]) -> Response:
    """Answer with bytes that browsers keep and ask about, or 304 to whoever has them."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(make(), headers=headers, media_type="application/octet-stream")
