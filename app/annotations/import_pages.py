"""Labels from a file: what it holds is shown first, then a job gives them, as one action that can be taken back."""

from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from app import jobs
from app.accounts.access import CurrentUser
from app.annotations import importing
from app.annotations.forms import ImportForm
from app.db import SessionDep
from app.errors import Invalid
from app.forms import FormValues, PageId, parse
from app.job import Job
from app.models import Project
from app.projects.access import ViewableProject, ViewedProject
from app.slides.forms import received_files
from app.templating import render

router = APIRouter(tags=["annotations"])


def _page(
    request: Request,
    project: Project,
    *,
    found: importing.Found | None = None,
    job: Job | None = None,
    error: Invalid | None = None,
) -> Response:
    return render(
        request,
        "annotations/import.html",
        block="progress",
        status=error.status if error else 200,
        active="predictions",
        project=project,
        found=found,
        summary=importing.summary(found) if found else "",
        labels=",".join(f"{cell_id}:{code}" for cell_id, code in found.labels.items()) if found else "",
        job=job,
        problem=error.detail if error else "",
        most=importing.MOST_ROWS,
    )


@router.get("/projects/{project_id}/annotations/import")
def index(request: Request, project: ViewableProject, session: SessionDep, job: PageId = None) -> Response:
    """Show the form, or how far an import is."""
    found = session.get(Job, job) if job else None
    mine = found is not None and found.project_id == project.id and found.kind == "annotations.import"
    return _page(request, project, job=found if mine else None)


@router.post("/projects/{project_id}/annotations/import")
async def preview(request: Request, viewed: ViewedProject) -> Response:
    """Show what a file holds; nothing is changed."""
    project, _user = viewed
    try:
        async with received_files(request) as files:
            data = await files[0].read()
        found = await run_in_threadpool(importing.look_into, project, data)
    except Invalid as error:
        return _page(request, project, error=error)
    return _page(request, project, found=found)


@router.post("/projects/{project_id}/annotations/import/labels")
def give(project: ViewableProject, user: CurrentUser, session: SessionDep, values: FormValues) -> RedirectResponse:
    """Give the labels that the file was found to hold. Raises Invalid."""
    form = parse(ImportForm, values)
    wanted = {"labels": form.labels, "overwrite": form.overwrite}
    job_id = jobs.import_labels(session, project.id, wanted, action=str(uuid4()), user_id=user.id)
    return RedirectResponse(f"/projects/{project.id}/annotations/import?job={job_id}", 303)
