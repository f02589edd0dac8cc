"""Pages of mappings: the list with the form of a new one, and one with the metrics under it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from sqlalchemy.orm import Session

from app.accounts.access import Manager
from app.csv_stream import stream
from app.db import SessionDep
from app.errors import Invalid
from app.forms import FormValues, fields, parse, reasons_of
from app.mappings import export, service
from app.mappings.access import ViewableMapping
from app.mappings.api import mapping_item
from app.mappings.forms import MappingForm
from app.models import Project
from app.projects.access import ManagedProject, ViewableProject
from app.projects.queries import classes
from app.templating import render

TARGET = "target-"  # names of the fields, followed by the code of the class

router = APIRouter(tags=["mappings"])


@router.get("/projects/{project_id}/mappings")
def index(request: Request, project: ViewableProject, session: SessionDep) -> Response:
    """List the mappings, with the form of a new one."""
    return _list_page(request, session, project)


@router.post("/projects/{project_id}/mappings")
def save(request: Request, project: ManagedProject, user: Manager, session: SessionDep, values: FormValues) -> Response:
    """Save a mapping, or a new version of it."""
    targets = {name.removeprefix(TARGET): value for name, value in values.items() if name.startswith(TARGET)}
    try:
        form = parse(MappingForm, {"name": values["name"], "targets": targets})
        mapping = service.save(session, project, form.name, form.targets, by=user)
    except Invalid as error:
        return _list_page(request, session, project, values, error)
    return RedirectResponse(f"/mappings/{mapping.id}", 303)


@router.get("/mappings/{mapping_id}")
def show(request: Request, mapping: ViewableMapping, session: SessionDep) -> Response:
    """Show a version of a mapping, and what the newest classifier is worth under it."""
    project = session.get_one(Project, mapping.project_id)
    classifier = service.evaluated(session, mapping)
    targets = {f"{TARGET}{row['code']}": row["target"] for row in mapping.rows}
    return render(
        request,
        "mappings/mapping.html",
        active="classes",
        project=project,
        mapping=mapping,
        versions=service.versions(session, mapping),
        classifier=classifier,
        rolled=service.metrics_under(session, mapping, classifier) if classifier else None,
        classes=classes(session, project),
        values=fields(name=mapping.name, **targets),
        errors=fields(),
    )


@router.get("/mappings/{mapping_id}/mapping.csv")
def as_csv(mapping: ViewableMapping) -> StreamingResponse:
    """Download a version of a mapping as a table."""
    rows = [(row["code"], row["name"], row["target"]) for row in mapping.rows]
    return stream(f"{mapping.name} version {mapping.version}", ("code", "name", "target"), rows)


@router.get("/mappings/{mapping_id}/labels.csv")
def labels(mapping: ViewableMapping) -> StreamingResponse:
    """Download the labels of the project in the other scheme."""
    return stream(f"{mapping.name} version {mapping.version} labels", export.HEADER, export.rows(mapping))


@router.get("/mappings/{mapping_id}/mapping.json")
def as_json(mapping: ViewableMapping) -> Response:
    """Download a version of a mapping as REST answers it."""
    headers = {"Content-Disposition": f'attachment; filename="mapping-{mapping.id}.json"'}
    return Response(mapping_item(mapping).model_dump_json(indent=2), headers=headers, media_type="application/json")


def _list_page(
    request: Request,
    session: Session,
    project: Project,
    values: dict[str, Any] | None = None,
    error: Invalid | None = None,
) -> Response:
    return render(
        request,
        "mappings/index.html",
        status=error.status if error else 200,
        active="classes",
        project=project,
        mappings=service.newest(session, project),
        classes=classes(session, project),
        values=values or fields(),
        errors=reasons_of(error),
    )
