"""Pages of the scanners of a project."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import Manager
from app.db import SessionDep
from app.errors import Invalid
from app.forms import FormValues, fields, parse, reasons_of
from app.models import Project, Scanner
from app.projects.access import ManagedProject, ViewableProject
from app.scanners import queries, service
from app.scanners.access import ManagedScanner
from app.scanners.forms import ScannerForm
from app.templating import render

router = APIRouter(tags=["scanners"])


def _page(
    request: Request, session: Session, project: Project, values: dict[str, Any], error: Invalid | None = None
) -> Response:
    return render(
        request,
        "scanners/index.html",
        status=422 if error else 200,
        active="settings",
        project=project,
        scanners=queries.scanners(session, project),
        counts=queries.slide_counts(session, project),
        alarms=queries.alarms(session, project.id),
        values=values,
        errors=reasons_of(error),
    )


@router.get("/projects/{project_id}/scanners")
def index(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """Show the scanners and, to managers, the form of a new one."""
    return _page(request, session, project, fields())


@router.post("/projects/{project_id}/scanners")
def add(request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues) -> Response:
    """Add a scanner."""
    try:
        service.add(session, project, parse(ScannerForm, values), by=user)
    except Invalid as error:
        return _page(request, session, project, values, error)
    return RedirectResponse(f"/projects/{project.id}/scanners", 303)


def _scanner_page(
    request: Request, session: Session, scanner: Scanner, values: dict[str, Any], error: Invalid | None = None
) -> Response:
    return render(
        request,
        "scanners/scanner.html",
        status=422 if error else 200,
        active="settings",
        project=session.get_one(Project, scanner.project_id),
        scanner=scanner,
        values=values,
        errors=reasons_of(error),
    )


@router.get("/scanners/{scanner_id}")
def edit(request: Request, scanner: ManagedScanner, session: SessionDep) -> Response:
    """Show the form that changes a scanner."""
    um_per_px = "" if scanner.um_per_px is None else f"{scanner.um_per_px:g}"
    return _scanner_page(request, session, scanner, fields(name=scanner.name, um_per_px=um_per_px))


@router.post("/scanners/{scanner_id}")
def change(
    request: Request, scanner: ManagedScanner, user: Manager, session: SessionDep, values: FormValues
) -> Response:
    """Change a scanner."""
    try:
        service.change(session, scanner, parse(ScannerForm, values), by=user)
    except Invalid as error:
        return _scanner_page(request, session, scanner, values, error)
    return RedirectResponse(f"/projects/{scanner.project_id}/scanners", 303)
