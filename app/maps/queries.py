"""Which map a project shows."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import job_queries, jobs
from app.job import Job
from app.models import CellMap, Project


def map_of(session: Session, project: Project) -> CellMap | None:
    """Return the map of a project by its present encoder, None as long as nobody has asked for one."""
    mine = (CellMap.project_id == project.id) & (CellMap.encoder_id == project.encoder_id)
    return session.scalar(select(CellMap).where(mine).order_by(CellMap.id.desc()).limit(1))


def open_job(session: Session, project: Project) -> Job | None:
    """Return the job that lays a project out at present, or was given up since the last one that did."""
    newest = job_queries.newest(session, jobs.map_key(project.id))
    return newest if newest and newest.state != "done" else None
