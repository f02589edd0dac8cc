"""Rules of the cell classes of a project. Every change is audited and serialised by the lock of the project."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs
from app.errors import Conflict, PreconditionFailed
from app.forms import refusal
from app.language import _, ngettext
from app.models import Annotation, CellClass, Project, User
from app.models.audit import record
from app.models.project import lock
from app.projects import class_sets, queries
from app.projects.colors import free_color
from app.projects.forms import ChangedClass, ClassForm


def add_all(session: Session, project: Project, forms: Sequence[ClassForm]) -> list[CellClass]:
    """Give a new project its classes, parents in any order. Raises Invalid naming the class."""
    rows: list[CellClass] = []
    for form in forms:
        reasons = _duplicates(rows, form)
        if reasons:
            raise refusal({f"classes.{form.code}.{field}": reason for field, reason in reasons.items()})
        rows.append(_row(session, project, rows, form))
    for row, form in zip(rows, forms, strict=True):
        reason = _set_parent(rows, row, form.parent)
        if reason:
            raise refusal({f"classes.{form.code}.parent": reason})
    return rows


def add(session: Session, project: Project, form: ClassForm, by: User) -> CellClass:
    """Add a class at the end. Raises Invalid."""
    lock(session, project.id)
    class_sets.begin(session, project)
    existing = queries.classes(session, project)
    parents = {each.code: each.id for each in existing}
    reasons = _duplicates(existing, form)
    if form.parent and form.parent not in parents:
        reasons["parent"] = _("There is no class %(parent)s.", parent=form.parent)
    if reasons:
        raise refusal(reasons)
    row = _row(session, project, existing, form)
    row.parent_id = parents.get(form.parent) if form.parent else None
    record(session, "class.added", by=by.id, project_id=project.id, **_values(existing, row))
    class_sets.keep(session, project, by)
    return row


def change(session: Session, project: Project, row: CellClass, form: ChangedClass, by: User) -> None:
    """Change a class somebody looked at. Raises Invalid, and PreconditionFailed if it was changed meanwhile."""
    lock(session, project.id)
    session.refresh(row)
    if form.version != row.version:
        raise PreconditionFailed(
            _("Somebody else changed the class %(code)s meanwhile. These are its present values.", code=row.code)
        )
    existing = queries.classes(session, project)
    others = [each for each in existing if each is not row]
    before = _values(existing, row)
    reasons = _duplicates(others, form)
    parent_reason = _parent_reason(existing, row, form.parent)
    if parent_reason:
        reasons["parent"] = parent_reason
    if reasons:
        raise refusal(reasons)
    class_sets.begin(session, project)
    renamed = form.code != row.code
    row.code, row.name, row.key, row.color = form.code, form.name, form.key, form.color or row.color
    row.parent_id = next((each.id for each in existing if each.code == form.parent), None)
    _note_change(session, project, row, _difference(before, _values(existing, row)), by)
    class_sets.keep(session, project, by)
    if renamed and annotations_of(session, row):
        jobs.fit_classifier(session, project.id)  # the present classifier predicts the old code


def move(session: Session, project: Project, row: CellClass, step: int, by: User) -> None:
    """Move a class up (-1) or down (+1) among the classes; at the end of the list nothing happens."""
    lock(session, project.id)
    ordered = list(queries.classes(session, project))
    old = ordered.index(row)
    new = min(max(old + step, 0), len(ordered) - 1)
    if new == old:
        return
    class_sets.begin(session, project)
    ordered.insert(new, ordered.pop(old))
    for position, each in enumerate(ordered):
        each.position = position
    record(session, "class.moved", by=by.id, project_id=project.id, code=row.code, changes={"position": [old, new]})
    class_sets.keep(session, project, by)


def delete(session: Session, project: Project, row: CellClass, by: User) -> None:
    """Remove a class nobody has used. Raises Conflict while annotations or other classes hold it."""
    lock(session, project.id)
    held_by = annotations_of(session, row)
    if held_by:
        raise Conflict(
            ngettext(
                "The class %(code)s cannot be deleted: %(num)s annotation holds it, and the record of who labelled "
                "what is never changed.",
                "The class %(code)s cannot be deleted: %(num)s annotations hold it, and the record of who labelled "
                "what is never changed.",
                held_by,
                code=row.code,
            )
        )
    existing = queries.classes(session, project)
    children = [each.code for each in existing if each.parent_id == row.id]
    if children:
        raise Conflict(
            _(
                "The class %(code)s is the parent of %(children)s. Give those another parent first.",
                code=row.code,
                children=", ".join(children),
            )
        )
    record(session, "class.deleted", by=by.id, project_id=project.id, **_values(existing, row))
    class_sets.begin(session, project)
    session.delete(row)
    class_sets.keep(session, project, by)


def annotations_of(session: Session, row: CellClass) -> int:
    """Return how many annotations hold a class, corrected ones included."""
    return session.scalar(select(func.count()).where(Annotation.class_id == row.id)) or 0


def _duplicates(others: Sequence[CellClass], form: ClassForm) -> dict[str, str]:
    reasons = {}
    for other in others:
        if other.code.casefold() == form.code.casefold():
            reasons["code"] = _("There is already a class %(code)s.", code=other.code)
        if form.key and other.key == form.key:
            reasons["key"] = _("The key %(key)s belongs to %(code)s already.", key=form.key, code=other.code)
    return reasons


def _row(session: Session, project: Project, existing: Sequence[CellClass], form: ClassForm) -> CellClass:
    row = CellClass(
        project_id=project.id,
        code=form.code,
        name=form.name,
        key=form.key,
        color=form.color or free_color({each.color for each in existing}),
        position=max((each.position for each in existing), default=-1) + 1,
    )
    session.add(row)
    session.flush()
    return row


def _set_parent(rows: Sequence[CellClass], row: CellClass, parent: str | None) -> str:
    reason = _parent_reason(rows, row, parent)
    if not reason:
        row.parent_id = next((each.id for each in rows if each.code == parent), None)
    return reason


def _parent_reason(existing: Sequence[CellClass], row: CellClass, parent: str | None) -> str:
    """Say why a class cannot have this parent, empty when it can: the way up from it must not meet the class."""
    by_id = {each.id: each for each in existing}
    above = next((each for each in existing if each.code == parent), None)
    if parent and above is None:
        return _("There is no class %(parent)s.", parent=parent)
    while above is not None:
        if above is row:
            return _("A class cannot be its own parent, not even by way of others.")
        above = by_id.get(above.parent_id) if above.parent_id else None
    return ""


def _values(existing: Sequence[CellClass], row: CellClass) -> dict[str, Any]:
    parent = next((each.code for each in existing if each.id == row.parent_id), None)
    return {"code": row.code, "name": row.name, "key": row.key, "color": row.color, "parent": parent}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {field: [before[field], after[field]] for field in after if after[field] != before[field]}


def _note_change(session: Session, project: Project, row: CellClass, changes: dict[str, list[Any]], by: User) -> None:
    if not changes:
        return
    row.version += 1
    record(session, "class.changed", by=by.id, project_id=project.id, code=row.code, changes=changes)
