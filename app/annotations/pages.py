"""The list of recent actions, and the export of labels."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from app.accounts.access import CurrentUser
from app.annotations import coco, queries
from app.csv_stream import stream
from app.db import SessionDep
from app.projects import queries as project_queries
from app.projects.access import ViewableProject
from app.templating import render

router = APIRouter(tags=["annotations"])


@router.get("/projects/{project_id}/actions")
def actions(request: Request, project: ViewableProject, user: CurrentUser, session: SessionDep) -> HTMLResponse:
    """Show what this person did last in the project; scripts get the block alone."""
    classes = {str(item.id): item.name for item in project_queries.classes(session, project)}
    recent = queries.recent(session, project.id, user.id)
    return render(request, "annotations/actions.html", block="actions", project=project, classes=classes, recent=recent)


@router.get("/projects/{project_id}/annotations.csv")
def export(project: ViewableProject) -> StreamingResponse:
    """Download the present label of every labelled cell, with who gave it, when and how."""
    return stream(f"{project.name} annotations", queries.EXPORT_HEADER, queries.export(project.id))


@router.get("/projects/{project_id}/annotations.coco.json")
def export_coco(project: ViewableProject, session: SessionDep) -> StreamingResponse:
    """Download the same as COCO, with the boxes of cells in their fields."""
    return coco.labels(project, project_queries.classes(session, project))
