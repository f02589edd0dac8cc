"""Pages of the classifiers: versions, their labels, and the encoder of the project."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.cells.index import columns_of
from app.classifiers import queries, service
from app.classifiers.forms import ExplainedActivation, Keep
from app.csv_stream import stream
from app.db import SessionDep
from app.encoders import service as encoders
from app.errors import Conflict, Invalid, NotFound
from app.forms import FormValues, Id, PageId, PathId, fields, parse, reasons_of
from app.language import _
from app.models import Classifier, Encoder, Project, Scanner
from app.projects import class_sets, trail
from app.projects.access import ManagedProject, ViewableProject
from app.scanners.access import ManagedScanner
from app.slides.service import scanner_of
from app.templating import render

VERSIONS = 50
REPORTS = 100

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
        reporting=queries.reporting(session, project.id),
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


def _version_page(
    request: Request,
    session: Session,
    project: Project,
    classifier: Classifier,
    values: Mapping[str, Any],
    error: Invalid | Conflict | None = None,
) -> Response:
    scanners = queries.reporting(session, project.id)
    return render(
        request,
        "classifiers/version.html",
        status=error.status if error else 200,
        active="classifiers",
        project=project,
        version=classifier,
        encoder=session.get_one(Encoder, classifier.encoder_id),
        class_set=class_sets.number_at(session, project, classifier.created_at),
        scanner=session.get(Scanner, classifier.scanner_id) if classifier.scanner_id else None,
        scanners=[("", ""), *((each.id, each.name) for each, _reporting, _before in scanners)],
        reports=queries.reports(session, classifier, REPORTS),
        history=[
            (event, name, trail.title(event), trail.details(event))
            for event, name in queries.history(session, classifier)
        ],
        values=values,
        errors=reasons_of(error),
        problem=error.detail if isinstance(error, Conflict) else "",
    )


@router.get("/projects/{project_id}/classifiers/{version}")
def read(request: Request, project: ViewableProject, session: SessionDep, version: PathId) -> Response:
    """Show what a version was made of, what was made with it, and what people did with it."""
    classifier = queries.version(session, project.id, version)
    return _version_page(request, session, project, classifier, fields(name=classifier.name))


@router.post("/projects/{project_id}/classifiers/{version}/keep")
def keep(
    request: Request,
    project: ManagedProject,
    user: CurrentUser,
    session: SessionDep,
    version: PathId,
    values: FormValues,
) -> Response:
    """Keep a version as a candidate under a name."""
    classifier = queries.version(session, project.id, version)
    try:
        service.keep(session, classifier, parse(Keep, {"name": values["name"]}).name, user)
    except (Invalid, Conflict) as error:
        return _version_page(request, session, project, classifier, values, error)
    return RedirectResponse(f"/projects/{project.id}/classifiers/{version}", 303)


@router.post("/projects/{project_id}/classifiers/{version}/activate")
def activate(
    request: Request,
    project: ManagedProject,
    user: CurrentUser,
    session: SessionDep,
    version: PathId,
    values: FormValues,
) -> Response:
    """Make a version the reporting classifier of a scanner, with a reason."""
    classifier = queries.version(session, project.id, version)
    try:
        form = parse(ExplainedActivation, values)
        scanner = scanner_of(session, project, form.scanner_id)
        service.activate(session, classifier, scanner, user, reason=form.reason)
    except (Invalid, Conflict) as error:
        return _version_page(request, session, project, classifier, values, error)
    return RedirectResponse(f"/projects/{project.id}/classifiers/{version}", 303)


@router.post("/scanners/{scanner_id}/rollback")
def roll_back(scanner: ManagedScanner, user: CurrentUser, session: SessionDep) -> RedirectResponse:
    """Go back to the version that reported for a scanner before."""
    service.roll_back(session, scanner, user)
    return RedirectResponse(f"/projects/{scanner.project_id}/classifiers", 303)


def _moving(session: Session, project: Project) -> dict[str, Any] | None:
    """Return how many cells the next encoder has seen, None when the project is not moving."""
    if project.next_encoder_id is None:
        return None
    done = queries.cells_seen(session, project.id, project.next_encoder_id)
    return {"done": done, "total": len(columns_of(session, project.id))}
