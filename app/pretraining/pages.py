"""The page where a manager trains the encoder further, and everybody sees how far that is."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser
from app.db import SessionDep
from app.errors import Conflict, Invalid
from app.forms import FormValues, fields, parse, reasons_of
from app.models import Encoder, Project
from app.pretraining import queries, service
from app.pretraining.access import ManagedRun
from app.pretraining.forms import NewRun
from app.projects.access import ManagedProject, ViewableProject
from app.scanners.queries import scanners
from app.templating import render

LIVE = {"waiting", "running", "pausing"}

router = APIRouter(tags=["pretraining"])


def _page(
    request: Request,
    session: Session,
    project: Project,
    values: Mapping[str, Any],
    error: Invalid | Conflict | None = None,
) -> Response:
    found = queries.runs(session, project)
    return render(
        request,
        "pretraining/index.html",
        block="runs",
        status=error.status if error else 200,
        active="classifiers",
        project=project,
        encoder=session.get_one(Encoder, project.encoder_id),
        runs=found,
        live=any(each.phase in LIVE for each in found),
        scanners=[("", ""), *((each.id, each.name) for each in scanners(session, project))],
        cells=queries.cells(session, project.id, None),
        fewest=service.FEWEST_CELLS,
        values=values,
        errors=reasons_of(error),
    )


@router.get("/projects/{project_id}/pretraining")
def index(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """Show the runs and, to managers, the form of a new one; htmx asks for the runs again while one is under way."""
    form = NewRun.model_validate({})
    return _page(request, session, project, fields(epochs=form.epochs, most_images=form.most_images))


@router.post("/projects/{project_id}/pretraining")
def begin(
    request: Request, project: ManagedProject, user: CurrentUser, session: SessionDep, values: FormValues
) -> Response:
    """Begin a run."""
    try:
        service.begin(session, project, parse(NewRun, values), user)
    except (Invalid, Conflict) as error:
        return _page(request, session, project, values, error)
    return _back(project.id)


@router.post("/pretrainings/{run_id}/pause")
def pause(run: ManagedRun, user: CurrentUser, session: SessionDep) -> RedirectResponse:
    """Let a run stop where it is."""
    service.pause(session, run, user)
    return _back(run.project_id)


@router.post("/pretrainings/{run_id}/resume")
def resume(run: ManagedRun, user: CurrentUser, session: SessionDep) -> RedirectResponse:
    """Go on with a run."""
    service.resume(session, run, user)
    return _back(run.project_id)


@router.post("/pretrainings/{run_id}/cancel")
def cancel(run: ManagedRun, user: CurrentUser, session: SessionDep) -> RedirectResponse:
    """End a run for good."""
    service.cancel(session, run, user)
    return _back(run.project_id)


def _back(project_id: int) -> RedirectResponse:
    return RedirectResponse(f"/projects/{project_id}/pretraining", 303)
