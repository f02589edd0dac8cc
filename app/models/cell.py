"""Cells and the images they show."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Image(Base):
    """Stored image bytes, addressed by their sha256: the pixels of what was uploaded, without anything beside them.

    The same bytes are one image however often they are uploaded.
    """

    __tablename__ = "image"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    format: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]  # bytes
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Original(Base):
    """A file of a slide as it was received, kept beside the image made of it, where the project wants that and the two
    differ. Its bytes are `originals/<sha256>`."""

    __tablename__ = "original"
    __table_args__ = (UniqueConstraint("slide_id", "image_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slide.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    sha256: Mapped[str] = mapped_column(index=True)
    size: Mapped[int]  # bytes
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Field(Base):
    """A large image of a slide from which cells are cut; `red_cell_px` is the diameter of its red cells in pixels."""

    __tablename__ = "field"
    __table_args__ = (UniqueConstraint("slide_id", "image_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    slide_id: Mapped[int] = mapped_column(ForeignKey("slide.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    name: Mapped[str]  # the file name it came with
    red_cell_px: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Cell(Base):
    """One single-cell image of a slide, with its annotation in force and its class (None where there is none).

    If it was cut, it knows its field and `box` in it: left, top, right, bottom in pixels. `removed` by hand, it is no
    part of its slide any more, and only undoing that shows it again (app/annotations).
    """

    __tablename__ = "cell"
    __table_args__ = (
        UniqueConstraint("slide_id", "image_id"),
        Index("ix_cell_project_id", "project_id", "id"),
        Index("ix_cell_image_id", "project_id", "image_id"),
        Index("ix_cell_slide_id", "slide_id", "class_id"),
        Index(
            "ix_cell_labelled",
            "project_id",
            "class_id",
            sqlite_where=text("class_id IS NOT NULL"),
            postgresql_where=text("class_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    slide_id: Mapped[int] = mapped_column(ForeignKey("slide.id"))
    scanner_id: Mapped[int] = mapped_column(ForeignKey("scanner.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    name: Mapped[str]  # the file name it came with
    field_id: Mapped[int | None] = mapped_column(ForeignKey("field.id"), index=True)
    box: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    class_id: Mapped[int | None] = mapped_column(ForeignKey("cell_class.id"))
    # No foreign key: it would close a circle with annotation.cell_id.
    annotation_id: Mapped[int | None]
    removed: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
