"""Saving labels, taking them back, batches to read, and how far predictions and people can be trusted."""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app import job_queries, jobs
from app.accounts.access import REVIEWERS, CurrentUser, Manager, Reviewer
from app.annotations.forms import Action, LabelForm, UndoForm
from app.annotations.service import Act
from app.annotations.undo import CHUNK, size
from app.db import SessionDep, writing
from app.errors import Invalid
from app.forms import FormValues, fields, parse, reasons_of
from app.models import Project, User
from app.predictions.batches import where
from app.projects.access import ManagedProject, ViewableProject, ViewedProject
from app.readings import queries, service, undo
from app.readings.forms import MOST_READERS, QualityForm
from app.templating import render

router = APIRouter(tags=["readings"])


@router.post("/projects/{project_id}/annotations")
def label(viewed: ViewedProject, form: LabelForm) -> dict[str, Any]:
    """Save one act of labelling in the grid.

    In one thread from the begin to the commit: where a session is handed from thread to thread, all who write wait
    while the server draws pages in between.
    """
    project, user = viewed
    with writing() as session:
        return asdict(service.label(session, project, form, by=user))


@router.post("/projects/{project_id}/actions/{undone}/{how}")
def replay(
    project: ViewableProject,
    undone: Action,
    how: Literal["undo", "redo"],
    form: UndoForm,
    user: CurrentUser,
    session: SessionDep,
) -> dict[str, Any]:
    """Take back an action, or do it again, except where somebody has labelled since; a job if that takes long."""
    if job_queries.labelling(session, project.id) or size(session, project.id, undone) > CHUNK:
        return {"job_id": jobs.replay_action(session, project.id, undone, how, action=form.action, user_id=user.id)}
    return asdict(undo.replay(session, undone, Act(project, form.action, how, user)))


@router.post("/projects/{project_id}/second-readings")
def serve_second(project: ViewableProject, user: CurrentUser, session: SessionDep) -> dict[str, Any]:
    """Choose labelled cells for this person to read blind; the grid then opens the address."""
    return where(service.second_batch(session, project, user))


@router.post("/projects/{project_id}/audits")
def serve_audit(project: ViewableProject, user: CurrentUser, session: SessionDep) -> dict[str, Any]:
    """Choose cells of the audit for this person to label; the grid then opens the address."""
    return where(service.audit_batch(session, project, user))


@router.post("/projects/{project_id}/adjudications")
def serve_adjudication(project: ViewableProject, user: Reviewer, session: SessionDep) -> dict[str, Any]:
    """Collect the cells that were not read alike; the grid then opens the address."""
    return where(service.adjudication_batch(session, project, user))


def _page(
    request: Request,
    session: Session,
    project: Project,
    user: User,
    values: dict[str, Any] | None = None,
    error: Invalid | None = None,
) -> Response:
    only = None if user.role in REVIEWERS else user
    shares = {"audit_percent": f"{project.audit_share * 100:g}", "second_percent": f"{project.second_share * 100:g}"}
    return render(
        request,
        "readings/quality.html",
        status=error.status if error else 200,
        active="quality",
        project=project,
        audit=queries.audit(session, project, only),
        agreement=queries.agreement(session, project, only),
        values=values or fields(**shares, readers=project.readers),
        errors=reasons_of(error),
        most_readers=MOST_READERS,
        only_own=only is not None,
    )


@router.get("/projects/{project_id}/quality")
def quality(request: Request, project: ViewableProject, user: CurrentUser, session: SessionDep) -> Response:
    """Show audits and agreement: reviewers and managers see everybody's, others their own and the total."""
    return _page(request, session, project, user)


@router.post("/projects/{project_id}/quality")
def change(
    request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues
) -> Response:
    """Set which shares are audited and read again."""
    try:
        service.change(session, project, parse(QualityForm, values), by=user)
    except Invalid as error:
        return _page(request, session, project, user, values, error)
    return RedirectResponse(f"/projects/{project.id}/quality", 303)
