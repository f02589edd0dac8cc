"""Scanners: adding and changing them."""

from sqlalchemy.orm import Session

from app.db import now
from app.forms import refusal
from app.language import _
from app.models import Project, Scanner, User
from app.models.audit import record
from app.models.project import lock
from app.scanners import queries
from app.scanners.forms import ScannerForm


def add(session: Session, project: Project, form: ScannerForm, by: User) -> Scanner:
    """Add a scanner to a project. Raises Invalid."""
    lock(session, project.id)
    _check_name(session, project.id, form.name)
    scanner = Scanner(project_id=project.id, name=form.name, um_per_px=form.um_per_px, created_at=now())
    session.add(scanner)
    session.flush()
    record(session, "scanner.added", by=by.id, project_id=project.id, name=form.name, um_per_px=form.um_per_px)
    return scanner


def change(session: Session, scanner: Scanner, form: ScannerForm, by: User) -> None:
    """Change the name or the size of a pixel. Raises Invalid."""
    lock(session, scanner.project_id)
    if form.name != scanner.name:
        _check_name(session, scanner.project_id, form.name)
    old = {"name": scanner.name, "um_per_px": scanner.um_per_px}
    changes = {field: [old[field], new] for field, new in form.model_dump().items() if new != old[field]}
    if changes:
        scanner.name, scanner.um_per_px = form.name, form.um_per_px
        record(
            session, "scanner.changed", by=by.id, project_id=scanner.project_id, scanner=old["name"], changes=changes
        )


def _check_name(session: Session, project_id: int, name: str) -> None:
    if queries.by_name(session, project_id, name):
        raise refusal({"name": _("There is already a scanner with this name in the project.")})
