"""Rules of what a project keeps of its originals, and how long (docs/privacy.md)."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.forms import refusal
from app.language import _
from app.models import Project, Slide, User
from app.models.audit import record
from app.models.project import lock
from app.projects.forms import Privacy
from app.projects.service import on_off
from app.secret import fingerprint


def privacy_of(project: Project) -> Privacy:
    """Return what holds in a project."""
    return Privacy(
        pseudonyms=project.accession_key is not None,
        keep_received=project.keep_received,
        retention_days=project.retention_days,
        retention_cells=project.retention_cells,
    )


def set_privacy(session: Session, project: Project, wanted: Privacy, by: User) -> None:
    """Change what is kept. Raises Invalid: pseudonyms are chosen before the first slide, in either direction."""
    lock(session, project.id)
    present = privacy_of(project)
    if wanted == present:
        return
    if wanted.pseudonyms != present.pseudonyms:
        if session.scalar(select(Slide.id).where(Slide.project_id == project.id).limit(1)) is not None:
            raise refusal({"pseudonyms": _reason(present)})
        project.accession_key = fingerprint() if wanted.pseudonyms else None
    project.keep_received = wanted.keep_received
    project.retention_days, project.retention_cells = wanted.retention_days, wanted.retention_cells
    record(session, "project.privacy_changed", by=by.id, project_id=project.id, changes=_changes(present, wanted))


def _reason(present: Privacy) -> str:
    if present.pseudonyms:
        return _("The accession numbers of the slides of this project are not stored, so they cannot be shown again.")
    return _(
        "This project has slides, and signed reports and the audit trail hold their accession numbers and never "
        "change. Make a new project with pseudonyms and send the slides to it."
    )


def _changes(old: Privacy, new: Privacy) -> dict[str, list[Any]]:
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in Privacy.model_fields}
    return {
        name: [on_off(value) if isinstance(value, bool) else value for value in pair]
        for name, pair in pairs.items()
        if pair[0] != pair[1]
    }
