"""Reads of lab packs."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import job_queries
from app.job import Job
from app.jobs import pack_key
from app.models import Classifier, Pack, Project


def made(session: Session, project: Project) -> Sequence[Pack]:
    """Return the packs made of a project, newest first."""
    query = select(Pack).where(Pack.project_id == project.id, Pack.kind == "export")
    return session.scalars(query.order_by(Pack.id.desc())).all()


def received(session: Session) -> Sequence[Pack]:
    """Return the packs that were sent in, newest first."""
    return session.scalars(select(Pack).where(Pack.kind == "import").order_by(Pack.id.desc())).all()


def packable(session: Session, project: Project) -> Sequence[Classifier]:
    """Return the versions whose scores are kept, newest first."""
    query = select(Classifier).where(Classifier.project_id == project.id, Classifier.scores.is_not(None))
    return session.scalars(query.order_by(Classifier.version.desc())).all()


def job(session: Session, pack: Pack) -> Job | None:
    """Return what was done last with a pack."""
    return job_queries.newest(session, pack_key(pack.id))


def is_open(session: Session, pack: Pack) -> bool:
    """Say whether a pack is being worked on."""
    return job_queries.is_open(job(session, pack))
