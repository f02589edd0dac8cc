"""Slides and what was uploaded to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Slide(Base):
    """One submission from one scanner. `accession` is a pseudonym of it where the project is pseudonymous,
    its `state` one of app.slides.states, and changes there only.

    `originals_deleted_at` is when the time for keeping its fields and received files was over, `pictures_deleted_at`
    the same for the pictures of its cells.
    """

    __tablename__ = "slide"
    __table_args__ = (UniqueConstraint("project_id", "accession"), Index("ix_slide_state", "state", "project_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    scanner_id: Mapped[int] = mapped_column(ForeignKey("scanner.id"))
    accession: Mapped[str]
    state: Mapped[str] = mapped_column(default="receiving", server_default="receiving")
    originals_deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pictures_deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SlideState(Base):
    """That a slide came into a state, when, and why if that does not go without saying; append-only."""

    __tablename__ = "slide_state"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slide.id"), index=True)
    state: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Upload(Base):
    """One act of uploading: the files a person chose or a client sent together.

    `kind` is what its images show: one cell each, or what cells are cut from; then `images`, `stored` and
    `duplicates` count these cells. `expected_*` is what the sender announced, `received_*` what arrived, and the rest
    what became of the images:
    every image ends as stored, duplicate or refused. It is finished when all parts are unpacked and the sender
    said that nothing more comes (`completed_at`). Until then `heard_at` is the last sign of life of the sender,
    empty once the sender said that it stopped. `resumable_name` is the file's name if it is one sent by tus.
    """

    __tablename__ = "upload"

    id: Mapped[int] = mapped_column(primary_key=True)
    slide_id: Mapped[int] = mapped_column(ForeignKey("slide.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    kind: Mapped[str] = mapped_column(default="cells", server_default="cells")  # "cells", "field", "off_centre"
    resumable_name: Mapped[str | None]
    expected_files: Mapped[int | None]
    expected_bytes: Mapped[int | None] = mapped_column(BigInteger)
    received_files: Mapped[int] = mapped_column(default=0)
    received_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    images: Mapped[int] = mapped_column(default=0)  # found in the parts opened so far
    stored: Mapped[int] = mapped_column(default=0)
    duplicates: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    # How many of the stored cells were already on another slide of the project: {slide id: count}.
    elsewhere: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heard_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class UploadPart(Base):
    """One received file, kept as it came under `uploads/<sha256>` until the upload is finished.

    `members` is how many files it holds, known once it was opened (1 unless it is a ZIP), and `next_member` where
    unpacking goes on. `trying` is the member a worker took by itself after a crash, `strikes` how often: if workers
    keep ending with it in hand, it is refused. The members of a whole slide are its tiles, `field_id` the field of it.
    """

    __tablename__ = "upload_part"
    __table_args__ = (
        # A file that is sent again after a lost answer is the same part.
        UniqueConstraint("upload_id", "sha256", "name"),
        Index(
            "ix_upload_part_open",
            "sha256",
            sqlite_where=text("unpacked_at IS NULL"),
            postgresql_where=text("unpacked_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("upload.id"), index=True)
    name: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    members: Mapped[int | None]
    next_member: Mapped[int] = mapped_column(default=0)
    trying: Mapped[int | None]
    strikes: Mapped[int] = mapped_column(default=0)
    field_id: Mapped[int | None]
    unpacked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Refusal(Base):
    """A file of an upload that did not become a cell, and why, in the user's words."""

    __tablename__ = "refusal"

    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("upload.id"), index=True)
    name: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
