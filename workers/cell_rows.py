"""Rows of images, fields and cells of a slide. What is there already is found again: all of it can be done twice."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.db import insert_into, now
from app.models import Cell, Embedding, Field, Image, Project, Slide
from workers.outcomes import Found

Row = dict[str, Any]


def image_row(found: Found) -> Row:
    """Return the row of an image."""
    return {
        "sha256": found.sha256, "format": found.format, "width": found.width, "height": found.height,
        "size": len(found.data), "created_at": now(),
    }  # fmt: skip


def cell_row(slide: Slide, image_id: int, found: Found, field_id: int | None) -> Row:
    """Return the row of a cell."""
    return {
        "project_id": slide.project_id, "slide_id": slide.id, "scanner_id": slide.scanner_id, "image_id": image_id,
        "name": found.name, "field_id": field_id, "box": found.box and list(found.box), "created_at": now(),
    }  # fmt: skip


def add_images(session: Session, rows: Sequence[Row]) -> tuple[dict[str, int], set[int]]:
    """Return the image id of each sha256, and the ids of those that are new."""
    if not rows:
        return {}, set()
    insert = insert_into(session, Image).on_conflict_do_nothing(index_elements=[Image.sha256])
    created = set(session.scalars(insert.returning(Image.id), rows))
    ids = session.execute(select(Image.sha256, Image.id).where(Image.sha256.in_([row["sha256"] for row in rows])))
    return {row.sha256: row.id for row in ids}, created


def add_field(session: Session, slide: Slide, image_id: int, name: str, red_cell_px: float) -> Field:
    """Make an image a field of the slide unless it is one; returns the field."""
    mine = {"slide_id": slide.id, "image_id": image_id}
    field = session.scalar(select(Field).filter_by(**mine))
    if field is None:
        field = Field(project_id=slide.project_id, name=name, red_cell_px=red_cell_px, created_at=now(), **mine)
        session.add(field)
        session.flush()
    return field


def add_cells(session: Session, rows: Sequence[Row]) -> Sequence[int]:
    """Add cells that their slide does not have yet; returns the images of these."""
    if not rows:
        return []
    insert = insert_into(session, Cell).on_conflict_do_nothing(index_elements=[Cell.slide_id, Cell.image_id])
    return session.scalars(insert.returning(Cell.image_id), rows).all()


def queue_embedding(session: Session, project_id: int, image_ids: Sequence[int]) -> None:
    """Queue embedding by the project's encoder, and by the next one while the project moves to it."""
    project = session.get_one(Project, project_id)
    for encoder_id in (project.encoder_id, project.next_encoder_id):
        if encoder_id is None:
            continue
        query = select(Embedding.image_id).where(Embedding.encoder_id == encoder_id, Embedding.image_id.in_(image_ids))
        seen = set(session.scalars(query))
        new = [image_id for image_id in image_ids if image_id not in seen]
        jobs.embed_images(session, project_id, encoder_id, new)
