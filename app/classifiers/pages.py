"""Pages of the classifiers: versions, their labels, and the encoder of the project."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.cells.index import columns_of
from app.classifiers import queries
from app.csv_stream import stream
from app.db import SessionDep
from app.encoders import service as encoders
from app.errors import NotFound
from app.forms import Id, PageId, PathId
from app.language import _
from app.models import Encoder, Project
from app.projects.access import ManagedProject, ViewableProject
from app.templating import render

VERSIONS = 50

router = APIRouter(tags=["classifiers"])


@router.get("/projects/{project_id}/classifiers")
def index(request: Request, project: ViewableProject, session: SessionDep, below: PageId = None) -> HTMLResponse:
    """Show the versions, newest first, and the encoder; htmx asks for the encoder again while the project moves."""
    found = queries.versions(session, project.id, below=below, limit=VERSIONS)
    names = queries.encoder_names(session)
    more = len(found) == VERSIONS and found[-1].version > 1
    return render(
        request,
        "classifiers/index.html",
        block="encoder",
        active="classifiers",
        project=project,
        versions=found,
        next_url=f"/projects/{project.id}/classifiers?below={found[-1].version}" if more else "",
        encoder_names=names,
        other_encoders=[(key, name) for key, name in names.items() if key != project.encoder_id],
        moving=_moving(session, project),
    )


@router.post("/projects/{project_id}/encoder")
def switch_encoder(
    project: ManagedProject, user: CurrentUser, session: SessionDep, encoder_id: Annotated[Id, Form()]
) -> RedirectResponse:
    """Begin to embed all images anew with another encoder."""
    encoder = session.get(Encoder, encoder_id)
    if encoder is None:
        raise NotFound(_("encoder_id: there is no encoder %(encoder_id)s.", encoder_id=encoder_id))
    encoders.switch(session, project, encoder, by=user.id)
    return RedirectResponse(f"/projects/{project.id}/classifiers", 303)


@router.get("/projects/{project_id}/classifiers/{version}/labels.csv")
def labels(project: ViewableProject, session: SessionDep, version: PathId) -> StreamingResponse:
    """Download the labels a version was fitted on."""
    classifier = queries.version(session, project.id, version)
    title = f"{project.name} labels of version {version}"
    return stream(title, queries.LABELS_HEADER, queries.labels(classifier))


def _moving(session: Session, project: Project) -> dict[str, Any] | None:
    """Return how many cells the next encoder has seen, None when the project is not moving."""
    if project.next_encoder_id is None:
        return None
    done = queries.cells_seen(session, project.id, project.next_encoder_id)
    return {"done": done, "total": len(columns_of(session, project.id))}
