"""What waits in the table of jobs."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.job import Job


def newest(session: Session, dedupe_key: str) -> Job | None:
    """Return the job with this key that was asked for last, whatever became of it."""
    return session.scalar(select(Job).where(Job.dedupe_key == dedupe_key).order_by(Job.id.desc()).limit(1))


def is_open(job: Job | None) -> bool:
    """Say whether a job waits or runs."""
    return job is not None and job.state in {"queued", "running"}


def labelling(session: Session, project_id: int) -> bool:
    """Say whether a job that gives or takes back labels waits or runs: what depends on it has to queue behind."""
    kinds = ("annotations.accept", "annotations.import", "annotations.undo")
    unfinished = Job.kind.in_(kinds) & Job.state.in_(("queued", "running"))
    return session.scalar(select(Job.id).where(Job.project_id == project_id, unfinished).limit(1)) is not None


def remaining_images(session: Session, project_id: int) -> int:
    """Return how many images of a project still wait for their embedding."""
    query = select(func.sum(Job.progress_total - Job.progress_done)).where(
        Job.project_id == project_id,
        Job.kind == "cells.embed",
        Job.state.in_(("queued", "running")),
    )
    return session.scalar(query) or 0


def is_queued(session: Session, dedupe_key: str) -> bool:
    """Say whether a job with this key waits."""
    query = select(Job.id).where(Job.dedupe_key == dedupe_key, Job.state == "queued")
    return session.scalar(query) is not None
