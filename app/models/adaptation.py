"""Adaptations: a classifier brought to another scanner."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, UtcDateTime
from app.models.batch import CellIdArray, CellIds


class Adaptation(Base):
    """What is done once for a scanner that is new to its project.

    `validation` are cells of the scanner that `seed` drew before any of them had a label. They are labelled without
    their predictions and never fitted on; the set never changes. `comparison` is what the newest job found
    (workers/adaptations.py), `decision` what a manager made of it: `candidate`, `reason`, `by`, `at`, and in `found`
    the comparison they saw.
    """

    __tablename__ = "adaptation"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    scanner_id: Mapped[int] = mapped_column(ForeignKey("scanner.id"), unique=True)
    seed: Mapped[int]
    validation: Mapped[CellIds] = mapped_column(CellIdArray)
    comparison: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    decision: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
