"""Versions of the class set of a project: what its classes were from when on, and what each change was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import now
from app.language import _
from app.models import ClassSet, Project, User
from app.projects import queries

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Version:
    """A class set: its rows, when and by whom (a user id) it came, and what was different in the one before."""

    number: int
    rows: Rows
    changes: list[str]
    created_by: int | None
    created_at: datetime


def versions(session: Session, project: Project) -> list[Version]:
    """Return all versions, newest first; before the first change there is one, as the project was made."""
    kept = list(session.scalars(select(ClassSet).where(ClassSet.project_id == project.id).order_by(ClassSet.number)))
    kept = kept or [_as_made(session, project)]
    before: list[Rows] = [kept[0].rows, *(each.rows for each in kept[:-1])]
    found = [
        Version(each.number, each.rows, changes(rows, each.rows), each.created_by, each.created_at)
        for rows, each in zip(before, kept, strict=True)
    ]
    return found[::-1]


def number_at(session: Session, project: Project, moment: datetime) -> int:
    """Return the number of the version that held at a moment."""
    held = (ClassSet.project_id == project.id) & (ClassSet.created_at <= moment)
    return session.scalar(select(func.max(ClassSet.number)).where(held)) or 1


def begin(session: Session, project: Project) -> None:
    """Keep the classes as the project was made, before their first change."""
    if session.scalar(select(ClassSet.id).where(ClassSet.project_id == project.id).limit(1)) is None:
        session.add(_as_made(session, project))
        session.flush()


def keep(session: Session, project: Project, by: User) -> None:
    """Keep the classes after a change as a version, if they are others than before."""
    session.flush()
    mine = select(ClassSet).where(ClassSet.project_id == project.id).order_by(ClassSet.number.desc()).limit(1)
    newest, rows = session.scalars(mine).one(), _rows(session, project)
    if rows != newest.rows:
        about = {"rows": rows, "created_by": by.id, "created_at": now()}
        session.add(ClassSet(project_id=project.id, number=newest.number + 1, **about))


def changes(before: Rows, after: Rows) -> list[str]:
    """Say what is different, a sentence each."""
    old, new = ({row["id"]: row for row in rows} for rows in (before, after))
    said = [_("%(code)s came.", code=new[each]["code"]) for each in new if each not in old]
    said += [_("%(code)s went.", code=old[each]["code"]) for each in old if each not in new]
    for each in new:
        if each in old:
            said += _of_one(old[each], new[each])
    if [each for each in old if each in new] != [each for each in new if each in old]:
        said.append(_("Their order changed."))
    return said


def _of_one(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    names = {"code": _("code"), "name": _("name"), "key": _("key"), "color": _("colour"), "parent": _("parent")}
    return [
        _("%(code)s: %(what)s %(new)s, was %(old)s.", code=new["code"], what=what,
          new=new[name] or _("none"), old=old[name] or _("none"))
        for name, what in names.items() if old[name] != new[name]
    ]  # fmt: skip


def _rows(session: Session, project: Project) -> list[dict[str, Any]]:
    known = queries.classes(session, project)
    codes = {each.id: each.code for each in known}
    return [
        {"id": each.id, "code": each.code, "name": each.name, "key": each.key, "color": each.color,
         "parent": codes.get(each.parent_id) if each.parent_id else None}
        for each in known
    ]  # fmt: skip


def _as_made(session: Session, project: Project) -> ClassSet:
    about = {"created_by": project.created_by, "created_at": project.created_at}
    return ClassSet(project_id=project.id, number=1, rows=_rows(session, project), **about)
