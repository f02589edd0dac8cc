"""Asking what would change if another classifier reported for a scanner."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.db import now
from app.errors import NotFound
from app.language import _
from app.models import ActivationPreview, Classifier, Scanner
from app.models.project import lock


def find(session: Session, classifier: Classifier, scanner: Scanner) -> ActivationPreview | None:
    """Return the preview of a classifier for a scanner, made or being made."""
    mine = (ActivationPreview.classifier_id == classifier.id) & (ActivationPreview.scanner_id == scanner.id)
    return session.scalar(select(ActivationPreview).where(mine))


def get(session: Session, classifier: Classifier, scanner: Scanner) -> ActivationPreview:
    """Return a preview; raises NotFound."""
    found = find(session, classifier, scanner)
    if found is None:
        raise NotFound(_("Nobody has asked for this preview yet."))
    return found


def ask(session: Session, classifier: Classifier, scanner: Scanner) -> int:
    """Have a preview made, anew if there is one; returns the id of the job."""
    lock(session, classifier.project_id)
    preview = find(session, classifier, scanner)
    if preview is None:
        about = {"project_id": classifier.project_id, "classifier_id": classifier.id, "scanner_id": scanner.id}
        preview = ActivationPreview(**about, created_at=now())
        session.add(preview)
    preview.found, preview.created_at = None, now()
    session.flush()
    return jobs.preview_activation(session, classifier.project_id, preview.id)
