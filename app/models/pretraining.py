"""Encoders trained further on a lab's own cells."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime


class Pretraining(Base):
    """A run that trains an encoder further, without labels, on the cells of a project or of one of its scanners.

    `state`: "wanted" (its job waits or runs), "paused", "cancelled", "failed" (`message` says why), "done"
    (`encoder_id` is what came out). `log` has an entry an epoch: loss, and what is seen without labels.
    """

    __tablename__ = "pretraining"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    scanner_id: Mapped[int | None] = mapped_column(ForeignKey("scanner.id"))
    start_encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"))
    encoder_id: Mapped[int | None] = mapped_column(ForeignKey("encoder.id"))
    epochs: Mapped[int]
    most_images: Mapped[int]
    state: Mapped[str] = mapped_column(default="wanted")
    log: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    seconds_left: Mapped[float | None]
    message: Mapped[str] = mapped_column(default="")
    created_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
