"""Readings: classes given under conditions that are controlled."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime

AUDITS = ("blind", "shown")


class Reading(Base):
    """What a person saw in a cell without seeing something else. Append-only: the newest row of a kind stands.

    `blind` is the first label of a cell, given with its prediction hidden; `shown` the same with the prediction in
    sight, for comparison; `predicted_id` is that prediction's class. `second` is a class given without seeing the label
    `annotation_id`, which it leaves as it is. No class takes a reading back.
    """

    __tablename__ = "reading"
    __table_args__ = (
        UniqueConstraint("cell_id", "action"),
        Index("ix_reading_project_id", "project_id", "kind", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    cell_id: Mapped[int] = mapped_column(ForeignKey("cell.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    kind: Mapped[str]  # "blind", "shown", "second"
    class_id: Mapped[int | None] = mapped_column(ForeignKey("cell_class.id"), index=True)
    predicted_id: Mapped[int | None] = mapped_column(ForeignKey("cell_class.id"))
    annotation_id: Mapped[int | None] = mapped_column(ForeignKey("annotation.id"))
    seconds: Mapped[float | None]  # as of annotations, of second readings only: the others are annotations as well
    action: Mapped[str]  # the client's, as of annotations
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
