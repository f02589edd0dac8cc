"""REST endpoint of the jobs: how far asynchronous work is, and what became of an upload."""

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import SessionDep
from app.job import Job
from app.language import stored
from app.models import Refusal, Upload
from app.projects.jobs_pages import ViewableJob
from app.rest import rest_router

router = rest_router("jobs")


class Progress(BaseModel):
    """How much of the work is done; both 0 until that is known."""

    done: int
    total: int


class RefusedFile(BaseModel):
    """A file that did not become a cell, and why."""

    name: str
    reason: str


class UploadResult(BaseModel):
    """What became of the images: each is stored, a duplicate of a cell of the same slide, or refused."""

    id: int
    slide_id: int
    received_files: int = Field(description="Files that arrived; a ZIP is one.")
    images: int = Field(description="Images found in them so far.")
    stored: int
    duplicates: int
    refused: int
    refusals: list[RefusedFile] = Field(description="At most the first 1,000.")


class JobState(BaseModel):
    """Asynchronous work: `queued`, `running`, `done`, or `dead` when it was given up after five attempts."""

    id: int
    kind: str
    state: str
    project_id: int | None
    progress: Progress
    message: str
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    upload: UploadResult | None = Field(description="Of jobs that unpack an upload.")


@router.get("/jobs/{job_id}", summary="Read a job")
def read(job: ViewableJob, session: SessionDep) -> JobState:
    """Say how far asynchronous work is. Ask about once a second, or listen to the events."""
    return JobState(
        id=job.id,
        kind=job.kind,
        state=job.state,
        project_id=job.project_id,
        progress=Progress(done=job.progress_done, total=job.progress_total),
        message=stored(job.message),
        attempts=job.attempts,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        upload=_upload(session, job),
    )


def _upload(session: Session, job: Job) -> UploadResult | None:
    if "upload_id" not in job.arguments:
        return None
    upload = session.get_one(Upload, job.arguments["upload_id"])
    refusals = session.scalars(select(Refusal).where(Refusal.upload_id == upload.id).order_by(Refusal.id))
    return UploadResult(
        id=upload.id,
        slide_id=upload.slide_id,
        received_files=upload.received_files,
        images=upload.images,
        stored=upload.stored,
        duplicates=upload.duplicates,
        refused=upload.refused,
        refusals=[RefusedFile(name=refusal.name, reason=stored(refusal.reason)) for refusal in refusals],
    )
