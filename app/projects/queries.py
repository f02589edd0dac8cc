"""What the project pages read."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.models import Annotation, AuditEvent, Cell, CellClass, Member, Project, User

AUDIT_PAGE = 100


class Overview(NamedTuple):
    """A project and its numbers."""

    project: Project
    classes: int
    cells: int
    labels: int


def visible(session: Session, user: User) -> Sequence[Project]:
    """Return the projects a person may open, by name."""
    query = select(Project).order_by(Project.name)
    if user.role != "manager":
        query = query.join(Member, Member.project_id == Project.id).where(Member.user_id == user.id)
    return session.scalars(query).all()


def overviews(session: Session, user: User) -> list[Overview]:
    """Return the projects a person may open with their numbers of classes, cells and labelled cells."""
    projects = visible(session, user)
    ids = [project.id for project in projects]

    def numbers(column: Any, *where: Any) -> dict[int, int]:
        query = select(column, func.count()).where(column.in_(ids), *where).group_by(column)
        return dict(session.execute(query).all())

    classes, cells = numbers(CellClass.project_id), numbers(Cell.project_id)
    labels = numbers(Cell.project_id, Cell.class_id.is_not(None))
    return [Overview(each, *(counts.get(each.id, 0) for counts in (classes, cells, labels))) for each in projects]


def classes(session: Session, project: Project) -> Sequence[CellClass]:
    """Return the classes of a project in their order."""
    query = select(CellClass).where(CellClass.project_id == project.id)
    return session.scalars(query.order_by(CellClass.position, CellClass.id)).all()


def annotation_counts(session: Session, project: Project) -> dict[int | None, int]:
    """Return how many annotations hold each class, by its id, corrected ones included."""
    mine = select(CellClass.id).where(CellClass.project_id == project.id)
    query = select(Annotation.class_id, func.count()).where(Annotation.class_id.in_(mine))
    return dict(session.execute(query.group_by(Annotation.class_id)).all())


def members(session: Session, project: Project) -> Sequence[User]:
    """Return the members of a project, by name."""
    query = select(User).join(Member, Member.user_id == User.id).where(Member.project_id == project.id)
    return session.scalars(query.order_by(User.name)).all()


def could_join(session: Session, project: Project) -> Sequence[User]:
    """Return the active people who are not members; managers need not be."""
    member_ids = select(Member.user_id).where(Member.project_id == project.id)
    query = select(User).where(User.active, User.role != "manager", User.id.not_in(member_ids))
    return session.scalars(query.order_by(User.name)).all()


def audit(session: Session, project: Project, before: int | None) -> Sequence[Row[AuditEvent, str]]:
    """Return one page of (event, name of the person), newest first, and one row more if there are older ones."""
    query = select(AuditEvent, User.name).outerjoin(User, User.id == AuditEvent.user_id)
    query = query.where(AuditEvent.project_id == project.id).order_by(AuditEvent.id.desc()).limit(AUDIT_PAGE + 1)
    return session.execute(query.where(AuditEvent.id < before) if before else query).all()
