"""The page of jobs: what waits, what runs, what was given up and can be started again."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app import leases
from app.accounts.access import CurrentUser, Manager
from app.db import SessionDep
from app.errors import Conflict, NotFound
from app.forms import PathId
from app.job import Job
from app.language import N_, _
from app.models import Member, Project, User
from app.models.audit import record
from app.templating import render

SHOWN = 100
KINDS = {
    "adaptations.adopt": N_("Let a candidate report for a scanner"),
    "adaptations.compare": N_("Compare candidates for a scanner"),
    "annotations.accept": N_("Accept reviewed predictions"),
    "annotations.import": N_("Import labels"),
    "annotations.undo": N_("Undo labels"),
    "cells.embed": N_("Compute embeddings"),
    "classifiers.fit": N_("Fit classifier and score cells"),
    "classifiers.preview": N_("See what another classifier would change"),
    "fields.cut": N_("Cut a cell out of a field"),
    "maps.extend": N_("Place new cells on the map"),
    "maps.lay_out": N_("Lay out the map"),
    "packs.examine": N_("Look into a lab pack"),
    "packs.export": N_("Make a lab pack"),
    "packs.import": N_("Take in a lab pack"),
    "reports.classify": N_("Classify slide"),
    "scanners.watch": N_("Look whether a scanner has changed"),
    "slides.delete_originals": N_("Delete originals whose time is over"),
    "slides.unpack": N_("Unpack upload"),
    "encoders.embed_missing": N_("Move to another encoder"),
    "encoders.pretrain": N_("Train an encoder further"),
    "demo.seed": N_("Make the demo project"),
    "webhooks.send": N_("Send a webhook"),
}

router = APIRouter(tags=["jobs"])


def viewable_job(job_id: PathId, user: CurrentUser, session: SessionDep) -> Job:
    """Return a job of a project the person may open; raises NotFound."""
    job = session.scalar(_visible(user).where(Job.id == job_id))
    if job is None:
        raise NotFound(_("There is no such job, or you are not a member of its project."))
    return job


ViewableJob = Annotated[Job, Depends(viewable_job)]


@router.get("/jobs")
def index(request: Request, user: CurrentUser, session: SessionDep) -> HTMLResponse:
    """Show open jobs first, then what ended last."""
    names = {row.id: row.name for row in session.execute(select(Project.id, Project.name))}
    return render(
        request,
        "projects/jobs.html",
        block="jobs",
        active="jobs",
        open_jobs=_newest(session, user, ("queued", "running", "dead")),
        ended_jobs=_newest(session, user, ("done",)),
        kinds=KINDS,
        project_names=names,
    )


@router.post("/jobs/{job_id}/retry")
def retry(job: ViewableJob, manager: Manager, session: SessionDep) -> RedirectResponse:
    """Start a job again that was given up."""
    if job.state != "dead":
        raise Conflict(_("Job %(id)s was not given up, so it cannot be started again.", id=job.id))
    leases.retry(session, job)
    record(session, "job.retried", by=manager.id, project_id=job.project_id, job=job.id)
    return RedirectResponse("/jobs", 303)


def _visible(user: User) -> Select[Job]:
    query = select(Job)
    if user.role == "manager":
        return query
    return query.where(Job.project_id.in_(select(Member.project_id).where(Member.user_id == user.id)))


def _newest(session: Session, user: User, states: Sequence[str]) -> Sequence[Job]:
    """Return the newest jobs in these states. One query a state: each reads SHOWN rows of an index, and sorts none."""
    query = _visible(user).order_by(Job.id.desc()).limit(SHOWN)
    found = [job for state in states for job in session.scalars(query.where(Job.state == state))]
    return sorted(found, key=lambda job: -job.id)[:SHOWN]
