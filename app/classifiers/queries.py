"""Reads of classifiers and of the labels they were fitted on."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from safetensors import safe_open
from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.language import _
from app.models import AuditEvent, Cell, Classifier, Embedding, Encoder, Report, Scanner, Slide, User
from app.storage import get_storage

METADATA_KEY = "fiftycells_head"
LABELS_HEADER = ("cell_id", "class")


def versions(session: Session, project_id: int, *, below: int | None, limit: int) -> Sequence[Classifier]:
    """Return versions of the classifier, newest first, those below a version."""
    query = select(Classifier).where(Classifier.project_id == project_id)
    if below is not None:
        query = query.where(Classifier.version < below)
    return session.scalars(query.order_by(Classifier.version.desc()).limit(limit)).all()


def version(session: Session, project_id: int, number: int) -> Classifier:
    """Return one version; raises NotFound."""
    query = select(Classifier).where(Classifier.project_id == project_id, Classifier.version == number)
    found = session.scalar(query)
    if found is None:
        raise NotFound(_("There is no version %(number)s of this project's classifier.", number=number))
    return found


def encoder_names(session: Session) -> dict[int, str]:
    """Return the title of every encoder by its id."""
    return {encoder.id: encoder.title for encoder in session.scalars(select(Encoder).order_by(Encoder.id))}


def cells_seen(session: Session, project_id: int, encoder_id: int) -> int:
    """Return how many cells of a project an encoder has seen, unreadable ones included."""
    query = select(func.count()).select_from(Cell).join(Embedding, Embedding.image_id == Cell.image_id)
    return session.scalar(query.where(Cell.project_id == project_id, Embedding.encoder_id == encoder_id)) or 0


def labels(classifier: Classifier) -> Iterator[Sequence[Any]]:
    """Yield (cell id, class code) of every label a classifier was fitted on, as its stored file says."""
    path = get_storage().local_path(f"classifiers/{classifier.artifact}")
    with safe_open(path, framework="numpy") as file:
        card = json.loads(file.metadata()[METADATA_KEY])["card"]
    yield from zip(card["cell_ids"], card["classes_of_cells"], strict=True)


def reporting(session: Session, project_id: int) -> list[tuple[Scanner, Classifier | None, Classifier | None]]:
    """Return each scanner of a project with its reporting classifier and the one that reported before."""
    found = []
    for scanner in session.scalars(select(Scanner).where(Scanner.project_id == project_id).order_by(Scanner.name)):
        mine = (Classifier.scanner_id == scanner.id) & (Classifier.state == "reporting")
        found.append((scanner, session.scalar(select(Classifier).where(mine)), previous(session, scanner)))
    return found


def previous(session: Session, scanner: Scanner) -> Classifier | None:
    """Return the version that reported for a scanner before the present one, as the audit trail says."""
    activations = _events(scanner.project_id).where(AuditEvent.what == "classifier.activated")
    for event, _name in session.execute(activations):
        if event.detail["scanner_id"] == scanner.id:
            old = event.detail["old"]
            return version(session, scanner.project_id, old) if old is not None else None
    return None


def history(session: Session, classifier: Classifier) -> list[tuple[AuditEvent, str]]:
    """Return what people did with a version, newest first, with their names."""
    return [
        (event, name or "")
        for event, name in session.execute(_events(classifier.project_id))
        if classifier.version in {event.detail.get(key) for key in ("version", "old", "new")}
    ]


def _events(project_id: int) -> Select[AuditEvent, str | None]:
    query = select(AuditEvent, User.name).join(User, User.id == AuditEvent.user_id, isouter=True)
    mine = (AuditEvent.project_id == project_id) & AuditEvent.what.startswith("classifier.")
    return query.where(mine).order_by(AuditEvent.id.desc())


def reports(session: Session, classifier: Classifier, limit: int) -> Sequence[Row[Report, Slide]]:
    """Return the newest reports made by a version, with their slides."""
    query = select(Report, Slide).join(Slide, Slide.id == Report.slide_id)
    return session.execute(
        query.where(Report.project_id == classifier.project_id, Report.classifier_id == classifier.id)
        .order_by(Report.id.desc())
        .limit(limit)
    ).all()
