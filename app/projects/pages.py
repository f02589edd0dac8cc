"""Pages of the projects: the list, a new one, settings and the audit trail."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts.access import CurrentUser, Manager
from app.db import SessionDep
from app.errors import Invalid
from app.forms import FormValues, PageId, PathId, fields, parse, reasons_of, refusal
from app.language import _
from app.models import Project
from app.projects import class_pages, presets, privacy, queries, service, trail
from app.projects.access import ManagedProject, ViewableProject
from app.projects.forms import NewProject, PersonChoice, Privacy, ProjectName, Timing
from app.templating import render

router = APIRouter(tags=["projects"])
router.include_router(class_pages.router)


@router.get("/")
@router.get("/projects")
def index(request: Request, user: CurrentUser, session: SessionDep) -> Response:
    """Show the projects the person may open."""
    return render(request, "projects/index.html", active="projects", overviews=queries.overviews(session, user))


def _new_page(request: Request, values: dict[str, Any], error: Invalid | None = None) -> Response:
    context: dict[str, Any] = {"presets": presets.TITLES, "values": values, "errors": reasons_of(error)}
    context["codes"] = {name: [each.code for each in presets.classes_of(name)] for name in presets.TITLES}
    return render(request, "projects/new.html", status=422 if error else 200, active="projects", **context)


@router.get("/projects/new")
def new(request: Request, _user: Manager) -> Response:
    """Show the form of a new project."""
    return _new_page(request, fields(preset="differential-5"))


@router.post("/projects/new")
def create(request: Request, user: Manager, session: SessionDep, values: FormValues) -> Response:
    """Create a project, from a set of classes or empty, perhaps with its first scanner."""
    try:
        form = parse(NewProject, values)
        if form.preset and form.preset not in presets.TITLES:
            raise refusal({"preset": _("Choose one of the sets of classes.")})
        classes = presets.classes_of(form.preset) if form.preset else []
        project = service.create(session, form.name, classes, by=user, pseudonyms=form.pseudonyms)
    except Invalid as error:
        return _new_page(request, values, error)
    if form.scanner:
        service.add_first_scanner(session, project, form.scanner, form.um_per_px, by=user)
    return RedirectResponse(f"/projects/{project.id}/{'cells' if classes else 'classes'}", 303)


@router.get("/projects/{project_id}")
def show(project: ViewableProject) -> Response:
    """Go to the cells of the project."""
    return RedirectResponse(f"/projects/{project.id}/cells", 303)


def _settings_page(
    request: Request,
    session: Session,
    project: Project,
    typed: Mapping[str, Any] | None = None,
    error: Invalid | None = None,
) -> Response:
    present = {"name": project.name, **privacy.privacy_of(project).model_dump()}
    return render(
        request,
        "projects/settings.html",
        status=422 if error else 200,
        active="settings",
        project=project,
        members=queries.members(session, project),
        candidates=queries.could_join(session, project),
        values=fields(**(present | dict(typed or {}))),
        errors=reasons_of(error),
    )


@router.get("/projects/{project_id}/settings")
def settings(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """Show the settings; only managers can change them."""
    return _settings_page(request, session, project)


@router.post("/projects/{project_id}/settings")
def rename(
    request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues
) -> Response:
    """Give the project another name."""
    try:
        service.rename(session, project, parse(ProjectName, values).name, by=user)
    except Invalid as error:
        return _settings_page(request, session, project, values, error)
    return RedirectResponse(f"/projects/{project.id}/settings", 303)


@router.post("/projects/{project_id}/timing")
def set_timing(project: ManagedProject, user: Manager, session: SessionDep, values: FormValues) -> Response:
    """Switch on or off that decisions are timed."""
    service.set_timing(session, project, parse(Timing, values).timed, by=user)
    return RedirectResponse(f"/projects/{project.id}/settings", 303)


@router.post("/projects/{project_id}/privacy")
def set_privacy(
    request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues
) -> Response:
    """Set what the project keeps of its originals, and how long."""
    try:
        privacy.set_privacy(session, project, parse(Privacy, values), by=user)
    except Invalid as error:
        return _settings_page(request, session, project, Privacy().model_dump() | values, error)
    return RedirectResponse(f"/projects/{project.id}/settings", 303)


@router.post("/projects/{project_id}/members")
def add_member(
    request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues
) -> Response:
    """Let a person work on the project."""
    try:
        service.add_member(session, project, parse(PersonChoice, values).user_id, by=user)
    except Invalid as error:
        return _settings_page(request, session, project, error=error)
    return RedirectResponse(f"/projects/{project.id}/settings", 303)


@router.post("/projects/{project_id}/members/{user_id}/remove")
def remove_member(project: ManagedProject, user_id: PathId, user: Manager, session: SessionDep) -> Response:
    """Take a person off the project."""
    service.remove_member(session, project, user_id, by=user)
    return RedirectResponse(f"/projects/{project.id}/settings", 303)


@router.get("/projects/{project_id}/audit")
def audit(request: Request, project: ViewableProject, session: SessionDep, before: PageId = None) -> Response:
    """Show who changed what, newest first; `before` is the id of the last event already seen."""
    rows = queries.audit(session, project, before)
    page = rows[: queries.AUDIT_PAGE]
    return render(
        request,
        "projects/audit.html",
        active="settings",
        project=project,
        events=[(event, name or "Fiftycells", trail.title(event), trail.details(event)) for event, name in page],
        older=page[-1][0].id if len(rows) > len(page) else None,
        newest_first=before is None,
    )
