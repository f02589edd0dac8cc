"""Deletes the originals of slides whose time is over (docs/privacy.md): fields and received files, and the pictures of
cells where the project does not keep them. Embeddings, labels, classifiers and reports stay.

Bytes are addressed by their sha256, so a younger slide or another project may need the same ones; these stay. A slide
is one transaction, which holds back whoever adds cells: they look whether their bytes are there after adding the rows,
and put back what was deleted just before (workers.slide_files).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, delete, exists, false, func, or_, select, text
from sqlalchemy.orm import Session

from app.db import now, reading
from app.language import N_
from app.models import Cell, Field, Image, Original, Project, Refusal, Slide, Upload, UploadPart
from app.models.audit import record
from app.models.project import lock
from app.slides import resumable
from app.storage import get_storage
from workers.runner import Task
from workers.slide_rows import delete_received

CLOSED = N_("deleted unopened: sending stopped, and the time for keeping originals is over")
AT_ONCE = 500  # ids in one query

T = TypeVar("T")


@dataclass
class Deleted:
    """What was deleted of a slide, and how many files stayed because others need them."""

    fields: int = 0
    pictures: int = 0
    received: int = 0
    unopened: int = 0
    shared: int = 0


def delete_originals(task: Task) -> None:
    """Delete the originals of all slides of a project whose time is over, one after the other."""
    with reading() as session:
        due = session.scalars(due_slides(session.get_one(Project, task.project_id))).all()
    for number, slide_id in enumerate(due, 1):
        with task.transaction() as session:
            _delete_of(session, slide_id)
        task.progress(number, len(due))


def due_slides(project: Project) -> Select[int]:
    """Select the slides whose newest upload began before the time for keeping it, and that still have something."""
    if project.retention_days is None:
        return select(Slide.id).where(false())
    before = now() - timedelta(days=project.retention_days)
    newest = select(func.max(Upload.created_at)).where(Upload.slide_id == Slide.id).scalar_subquery()
    since = func.coalesce(newest, Slide.created_at)
    gone = [Slide.originals_deleted_at]
    if not project.retention_cells:
        gone.append(Slide.pictures_deleted_at)
    left = or_(*(column.is_(None) | (column < since) for column in gone))
    return select(Slide.id).where(Slide.project_id == project.id, since < before, left).order_by(Slide.id)


def _delete_of(session: Session, slide_id: int) -> None:
    slide = session.get_one(Slide, slide_id)
    project = session.get_one(Project, slide.project_id)
    lock(session, project.id)
    session.refresh(project)
    if slide_id not in session.scalars(due_slides(project)).all():  # somebody sent more, or keeps them longer now
        return
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        session.execute(text("LOCK TABLE cell, field, original IN SHARE ROW EXCLUSIVE MODE"))
    moment, deleted = now(), Deleted()
    deleted.unopened = _close_uploads(session, slide, moment)
    slide.originals_deleted_at = moment
    if not project.retention_cells:
        slide.pictures_deleted_at = moment
    session.flush()
    _delete_received_files(session, slide, deleted)
    _delete_images(session, slide, deleted)
    record(session, "slide.originals_deleted", by=None, project_id=project.id, slide_id=slide.id, **vars(deleted))


def _close_uploads(session: Session, slide: Slide, moment: datetime) -> int:
    """End uploads whose sender never came back, and delete what was received of them; returns how many files."""
    unopened = 0
    unfinished = (Upload.slide_id == slide.id) & Upload.finished_at.is_(None)
    for upload in session.scalars(select(Upload).where(unfinished).with_for_update()):
        if upload.resumable_name is not None and upload.completed_at is None:
            resumable.give_up(session, upload, slide.project_id)
            unopened += 1
        mine = (UploadPart.upload_id == upload.id) & UploadPart.unpacked_at.is_(None)
        parts = session.scalars(select(UploadPart).where(mine)).all()
        for part in parts:
            part.unpacked_at = moment
            session.add(Refusal(upload_id=upload.id, name=part.name, reason=CLOSED, created_at=moment))
        upload.refused += len(parts)
        upload.images += len(parts)
        upload.completed_at = upload.completed_at or moment
        upload.finished_at = moment
        session.flush()
        delete_received(session, upload.id)
        unopened += len(parts)
    return unopened


def _delete_received_files(session: Session, slide: Slide, deleted: Deleted) -> None:
    mine = Original.slide_id == slide.id
    hashes = set(session.scalars(select(Original.sha256).where(mine)))
    session.execute(delete(Original).where(mine))
    for some in _chunks(hashes):
        needed = set(session.scalars(select(Original.sha256).where(Original.sha256.in_(some))))
        deleted.shared += len(needed)
        deleted.received += sum(_delete(f"originals/{sha256}") for sha256 in set(some) - needed)


def _delete_images(session: Session, slide: Slide, deleted: Deleted) -> None:
    deleted.fields += _delete_unneeded(session, session.scalars(_images_of(Field, slide)).all(), deleted)
    if slide.pictures_deleted_at is not None:
        deleted.pictures += _delete_unneeded(session, session.scalars(_images_of(Cell, slide)).all(), deleted)


def _images_of(noun: type[Field | Cell], slide: Slide) -> Select[int]:
    return select(noun.image_id).where(noun.slide_id == slide.id)


def _delete_unneeded(session: Session, image_ids: Sequence[int], deleted: Deleted) -> int:
    """Delete the files of those images that no cell or field needs any more; returns how many."""
    count = 0
    for some in _chunks(image_ids):
        free = session.scalars(select(Image.sha256).where(Image.id.in_(some), ~_is_needed())).all()
        deleted.shared += len(some) - len(free)
        count += sum(_delete(f"images/{sha256}") for sha256 in free)
        for sha256 in free:
            _delete(f"thumbnails/{sha256}")
            _delete(f"pyramids/{sha256}")
    return count


def _delete(key: str) -> bool:
    """Delete bytes and say whether they were there."""
    known = get_storage().exists(key)
    get_storage().delete(key)
    return known


def _is_needed() -> ColumnElement[bool]:
    """Whether an image is shown by a cell or is a field that came after its slide's were deleted, if they were."""
    cell = exists().where(
        Cell.image_id == Image.id,
        Slide.id == Cell.slide_id,
        Slide.pictures_deleted_at.is_(None) | (Cell.created_at > Slide.pictures_deleted_at),
    )
    field = exists().where(
        Field.image_id == Image.id,
        Slide.id == Field.slide_id,
        Slide.originals_deleted_at.is_(None) | (Field.created_at > Slide.originals_deleted_at),
    )
    return cell | field


def _chunks(items: Collection[T]) -> Iterator[list[T]]:
    ordered = list(items)
    return (ordered[start : start + AT_ONCE] for start in range(0, len(ordered), AT_ONCE))
