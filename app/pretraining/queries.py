"""Runs of a project, and how far they are."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import job_queries
from app.job import Job
from app.jobs import pretrain_key
from app.models import Cell, Encoder, Pretraining, Project, Scanner, User


@dataclass(frozen=True)
class RunView:
    """A run as people see it. `phase`: waiting, running, pausing, paused, cancelled, failed, done.

    `steps` of `all_steps` are done; both are 0 while images are read.
    """

    run: Pretraining
    phase: str
    steps: int
    all_steps: int
    problem: str
    scanner: str | None
    start: Encoder
    result: Encoder | None
    by: str | None


def runs(session: Session, project: Project) -> list[RunView]:
    """Return the runs of a project, newest first."""
    found = session.scalars(
        select(Pretraining).where(Pretraining.project_id == project.id).order_by(Pretraining.id.desc())
    )
    return [view(session, run) for run in found]


def view(session: Session, run: Pretraining) -> RunView:
    """Return a run with what is known of its job."""
    job = newest_job(session, run.id)
    phase, problem = _phase(run, job)
    scanner = session.get_one(Scanner, run.scanner_id).name if run.scanner_id else None
    by = session.get_one(User, run.created_by).name if run.created_by else None
    return RunView(
        run,
        phase,
        job.progress_done if job else 0,
        job.progress_total if job else 0,
        problem,
        scanner,
        session.get_one(Encoder, run.start_encoder_id),
        session.get_one(Encoder, run.encoder_id) if run.encoder_id else None,
        by,
    )


def newest_job(session: Session, run_id: int) -> Job | None:
    """Return the newest job of a run."""
    return job_queries.newest(session, pretrain_key(run_id))


def _phase(run: Pretraining, job: Job | None) -> tuple[str, str]:
    state = job.state if job else "done"
    if run.state == "wanted" and state == "dead" and job:
        return "failed", job.message
    if run.state == "wanted":
        return ("running" if state == "running" else "waiting"), ""
    if run.state == "paused" and state == "running":
        return "pausing", ""
    return run.state, run.message


def cells(session: Session, project_id: int, scanner_id: int | None) -> int:
    """Count the images that a run on this scanner, or on the whole project, could see."""
    query = select(func.count(Cell.image_id.distinct())).where(Cell.project_id == project_id)
    return session.scalar(query if scanner_id is None else query.where(Cell.scanner_id == scanner_id)) or 0


def open_run(session: Session, project: Project) -> Pretraining | None:
    """Return the run of a project that has not ended."""
    unended = Pretraining.state.in_(("wanted", "paused"))
    return session.scalar(select(Pretraining).where(Pretraining.project_id == project.id, unended).limit(1))
