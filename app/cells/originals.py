"""Originals of cells: whether they are kept as received, and why a file is not there."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import AppError, Gone, NotFound
from app.language import _
from app.models import Cell, Original, Slide


def received_of(session: Session, cell: Cell) -> Original | None:
    """Return the file a cell was received in, where the project keeps these and it is more than the image."""
    mine = (Original.slide_id == cell.slide_id) & (Original.image_id == cell.image_id)
    return session.scalar(select(Original).where(mine))


def originals_deleted(session: Session, cell: Cell) -> bool:
    """Say whether the time for keeping the original of this cell is over."""
    deleted_at = session.get_one(Slide, cell.slide_id).originals_deleted_at
    return deleted_at is not None and cell.created_at <= deleted_at


def lost(session: Session, cell_id: int) -> AppError:
    """Return why a file of a cell is not there: its time was over, or it is missing."""
    return missing(session.scalars(select(Slide).join(Cell, Cell.slide_id == Slide.id).where(Cell.id == cell_id)).one())


def missing(slide: Slide) -> AppError:
    """Return why a file of a slide is not there."""
    if slide.originals_deleted_at is None:
        return NotFound(_("The stored file of this image is missing."))
    return Gone(
        _(
            "The originals of this slide were deleted on %(date)s, when the time for keeping them was over. Labels, "
            "embeddings, classifiers and reports stay.",
            date=slide.originals_deleted_at.date(),
        )
    )
