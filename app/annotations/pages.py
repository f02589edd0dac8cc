"""Routes that take labels back, and their export."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from app import jobs
from app.accounts.access import CurrentUser
from app.annotations import queries
from app.annotations.forms import Action, UndoForm
from app.csv_stream import stream
from app.db import SessionDep
from app.projects.access import ViewableProject

router = APIRouter(tags=["annotations"])


@router.post("/projects/{project_id}/actions/{undone}/undo", status_code=202)
def undo(
    project: ViewableProject, undone: Action, form: UndoForm, user: CurrentUser, session: SessionDep
) -> dict[str, Any]:
    """Take back all labels of an action, except where somebody has labelled since."""
    return {"job_id": jobs.undo_action(session, project.id, undone, action=form.action, user_id=user.id)}


@router.get("/projects/{project_id}/annotations.csv")
def export(project: ViewableProject) -> StreamingResponse:
    """Download the present label of every labelled cell, with who gave it, when and how."""
    return stream(f"{project.name} annotations", queries.EXPORT_HEADER, queries.export(project.id))
