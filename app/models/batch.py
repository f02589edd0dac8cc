"""Cells put together for a person, and the ranking they are chosen from."""

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import JSON, Dialect, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from app.db import Base, UtcDateTime

CellIds = npt.NDArray[np.int64]


class CellIdArray(TypeDecorator[CellIds]):
    """Cell ids as bytes: a batch may hold a million of them."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: CellIds | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return little-endian int64."""
        return None if value is None else np.asarray(value, "<i8").tobytes()

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> CellIds | None:  # noqa: ARG002
        """Return an array that cannot be written to."""
        return None if value is None else np.frombuffer(value, "<i8")


class Ranking(Base):
    """What a worker recommends to label next in a project, computed anew as labels come.

    `groups` are cells that look alike: [{"cell_ids", "size", "novel"}], `cells` single ones, the most useful first:
    [{"cell_id", "why", ...}], `conflicts` labels that the others contradict, those with most effect first. A fit makes
    them (workers/ranking.py, workers/evaluation.py), app/predictions/batches.py puts `why` into words.
    """

    __tablename__ = "ranking"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    cells_ranked: Mapped[int]
    groups: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    cells: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    conflicts: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Batch(Base):
    """Cells served to one person, in this order; it never changes. `reasons` says why a cell is in it, by its id."""

    __tablename__ = "batch"
    __table_args__ = (Index("ix_batch_project_id", "project_id", "kind", "created_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    kind: Mapped[str]  # "group", "next", "review", "conflict", "second", "audit", "adjudication", "map", "validation"
    class_id: Mapped[int | None] = mapped_column(ForeignKey("cell_class.id"))  # what a review is of
    cell_ids: Mapped[CellIds] = mapped_column(CellIdArray, deferred=True)  # read when asked for: megabytes of a review
    note: Mapped[str]  # one sentence above the cells
    reasons: Mapped[dict[str, str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
