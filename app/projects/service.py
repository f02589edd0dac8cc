"""Projects: creating, renaming, members."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import now
from app.encoders.service import default_encoder
from app.errors import NotFound
from app.forms import refusal
from app.language import _
from app.models import Member, Project, Scanner, User
from app.models.audit import record
from app.projects import classes as class_rules
from app.projects.forms import ClassForm
from app.secret import fingerprint


def create(session: Session, name: str, classes: Sequence[ClassForm], by: User, *, pseudonyms: bool = False) -> Project:
    """Create a project with these classes; whoever creates it is a member. Raises Invalid."""
    _check_name(session, name)
    encoder = default_encoder(session)
    project = Project(name=name, encoder_id=encoder.id, created_by=by.id, created_at=now())
    project.accession_key = fingerprint() if pseudonyms else None
    session.add(project)
    session.flush()
    session.add(Member(project_id=project.id, user_id=by.id))
    rows = class_rules.add_all(session, project, classes)
    codes = [row.code for row in rows]
    detail = {"name": name, "classes": codes, "encoder": encoder.name, "pseudonyms": on_off(pseudonyms)}
    record(session, "project.created", by=by.id, project_id=project.id, **detail)
    return project


def add_first_scanner(session: Session, project: Project, name: str, um_per_px: float | None, by: User) -> None:
    """Give a project that was just created its scanner; later ones are added on the page of the scanners."""
    session.add(Scanner(project_id=project.id, name=name, um_per_px=um_per_px, created_at=now()))
    record(session, "scanner.added", by=by.id, project_id=project.id, name=name, um_per_px=um_per_px)


def rename(session: Session, project: Project, name: str, by: User) -> None:
    """Give a project another name. Raises Invalid."""
    if name == project.name:
        return
    _check_name(session, name)
    record(session, "project.renamed", by=by.id, project_id=project.id, changes={"name": [project.name, name]})
    project.name = name


def set_timing(session: Session, project: Project, timed: bool, by: User) -> None:
    """Switch on or off that decisions are timed. What was measured stays."""
    if timed == project.timed:
        return
    changes = {"timing": [on_off(project.timed), on_off(timed)]}
    record(session, "project.timing_changed", by=by.id, project_id=project.id, changes=changes)
    project.timed = timed


def on_off(value: bool) -> str:
    """Return what the audit trail says of a switch."""
    return "on" if value else "off"


def _check_name(session: Session, name: str) -> None:
    if session.scalar(select(Project.id).where(Project.name == name)) is not None:
        raise refusal({"name": _("There is already a project with this name.")})


def add_member(session: Session, project: Project, user_id: int, by: User) -> None:
    """Let a person work on a project. Raises Invalid."""
    user = session.get(User, user_id)
    if user is None or not user.active:
        raise refusal({"user_id": _("Choose a person with an active account.")})
    if session.get(Member, (project.id, user.id)) is None:
        session.add(Member(project_id=project.id, user_id=user.id))
        record(session, "member.added", by=by.id, project_id=project.id, person=user.name, email=user.email)


def remove_member(session: Session, project: Project, user_id: int, by: User) -> None:
    """Take a person off a project; their labels stay. Raises NotFound."""
    member, user = session.get(Member, (project.id, user_id)), session.get(User, user_id)
    if member is None or user is None:
        raise NotFound(_("This person is not a member of the project."))
    session.delete(member)
    record(session, "member.removed", by=by.id, project_id=project.id, person=user.name, email=user.email)
