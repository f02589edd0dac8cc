"""Pages of the cell classes of a project, and the style sheet with their colours."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import Manager
from app.db import SessionDep
from app.errors import AppError, Conflict, Invalid, NotFound, PreconditionFailed
from app.forms import FormValues, PathId, fields, parse, reasons_of
from app.language import _
from app.models import CellClass, Project, User
from app.projects import class_sets, queries
from app.projects import classes as rules
from app.projects.access import ManagedProject, ViewableProject
from app.projects.colors import free_color, style_sheet
from app.projects.forms import ChangedClass, ClassForm
from app.templating import render

router = APIRouter()


def _page(
    request: Request,
    session: Session,
    project: Project,
    values: dict[str, Any] | None = None,
    error: AppError | None = None,
) -> Response:
    classes = queries.classes(session, project)
    return render(
        request,
        "projects/classes.html",
        status=error.status if error else 200,
        active="classes",
        project=project,
        classes=classes,
        codes={each.id: each.code for each in classes},
        counts=queries.annotation_counts(session, project),
        values=values or fields(color=free_color({each.color for each in classes})),
        errors=reasons_of(error),
    )


@router.get("/projects/{project_id}/classes")
def index(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """Show the classes and, to managers, the form of a new one."""
    return _page(request, session, project)


@router.post("/projects/{project_id}/classes")
def add(request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues) -> Response:
    """Add a class."""
    try:
        rules.add(session, project, parse(ClassForm, values), by=user)
    except Invalid as error:
        return _page(request, session, project, values, error)
    return RedirectResponse(f"/projects/{project.id}/classes", 303)


@router.get("/projects/{project_id}/classes/versions")
def versions(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """Show what the classes were from when on, and what each change was."""
    found = class_sets.versions(session, project)
    people = {by: session.get_one(User, by).name for each in found if (by := each.created_by)}
    return render(
        request, "projects/class_versions.html", active="classes", project=project, versions=found, people=people
    )


@router.get("/projects/{project_id}/classes.css")
def styles(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """Answer the colours of the classes as a style sheet; browsers keep it and ask whether it changed."""
    css = style_sheet(queries.classes(session, project))
    etag = f'"{hashlib.sha256(css.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(css, media_type="text/css", headers=headers)


def _class_of_path(project: ManagedProject, class_id: PathId, session: SessionDep) -> CellClass:
    row = session.get(CellClass, class_id)
    if row is None or row.project_id != project.id:
        raise NotFound(_("There is no such class in this project."))
    return row


ManagedClass = Annotated[CellClass, Depends(_class_of_path)]


def _class_page(
    request: Request,
    session: Session,
    project: Project,
    row: CellClass,
    error: AppError | None = None,
    values: dict[str, Any] | None = None,
) -> Response:
    classes = queries.classes(session, project)
    parent = next((each.code for each in classes if each.id == row.parent_id), "")
    return render(
        request,
        "projects/class.html",
        status=error.status if error else 200,
        active="classes",
        project=project,
        row=row,
        others=[each for each in classes if each is not row],
        annotations=rules.annotations_of(session, row),
        values=values or fields(code=row.code, name=row.name, key=row.key, color=row.color, parent=parent),
        errors=reasons_of(error),
        problem=error.detail if error and not isinstance(error, Invalid) else "",
    )


@router.get("/projects/{project_id}/classes/{class_id}")
def edit(request: Request, project: ManagedProject, row: ManagedClass, session: SessionDep) -> Response:
    """Show the form that changes a class."""
    return _class_page(request, session, project, row)


@router.post("/projects/{project_id}/classes/{class_id}")
def change(
    request: Request,
    project: ManagedProject,
    row: ManagedClass,
    user: Manager,
    session: SessionDep,
    values: FormValues,
) -> Response:
    """Change a class unless somebody else did since the form was opened."""
    try:
        rules.change(session, project, row, parse(ChangedClass, values), by=user)
    except Invalid as error:
        return _class_page(request, session, project, row, error, values)
    except PreconditionFailed as error:
        return _class_page(request, session, project, row, error)
    return RedirectResponse(f"/projects/{project.id}/classes", 303)


@router.post("/projects/{project_id}/classes/{class_id}/move")
def move(
    project: ManagedProject, row: ManagedClass, user: Manager, session: SessionDep, values: FormValues
) -> Response:
    """Move a class one place up or down."""
    rules.move(session, project, row, -1 if values["direction"] == "up" else 1, by=user)
    return RedirectResponse(f"/projects/{project.id}/classes", 303)


@router.post("/projects/{project_id}/classes/{class_id}/delete")
def delete(
    request: Request, project: ManagedProject, row: ManagedClass, user: Manager, session: SessionDep
) -> Response:
    """Remove a class nobody has used."""
    try:
        rules.delete(session, project, row, by=user)
    except Conflict as error:
        return _class_page(request, session, project, row, error)
    return RedirectResponse(f"/projects/{project.id}/classes", 303)
