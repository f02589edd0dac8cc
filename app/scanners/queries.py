"""What the scanner pages read."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Alarm, Project, Scanner, Slide


def scanners(session: Session, project: Project) -> Sequence[Scanner]:
    """Return the scanners of a project, by name."""
    return session.scalars(select(Scanner).where(Scanner.project_id == project.id).order_by(Scanner.name)).all()


def slide_counts(session: Session, project: Project) -> dict[int, int]:
    """Return how many slides each scanner of a project has, by its id."""
    query = select(Slide.scanner_id, func.count()).where(Slide.project_id == project.id).group_by(Slide.scanner_id)
    return dict(session.execute(query).all())


def by_name(session: Session, project_id: int, name: str) -> Scanner | None:
    """Return the scanner of a project with this name."""
    return session.scalar(select(Scanner).where(Scanner.project_id == project_id, Scanner.name == name))


def alarms(session: Session, project_id: int) -> dict[int, int]:
    """Return how many open alarms each scanner of a project has, by its id; those without are left out."""
    query = select(Alarm.scanner_id, func.count()).where(Alarm.project_id == project_id, Alarm.settled_at.is_(None))
    return dict(session.execute(query.group_by(Alarm.scanner_id)).all())
