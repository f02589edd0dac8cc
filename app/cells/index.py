"""The cells of a project as columns in memory: what a grid of a million cells is filtered and ordered by.

Each process keeps its own copy and takes in what is new before each use; writers hold `app.models.project.lock`.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from app.models import Adaptation, Annotation, Cell
from app.precedence import way

CHANGING = ("class_ids", "user_ids", "unseen", "removed")
FETCH = 100_000  # rows read from the database at a time

Ids = npt.NDArray[np.int64]
SmallIds = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Columns:
    """Columns of equal length n, a row per cell in the order of cell ids. A `class_ids` of 0 means no label.

    `unseen` tells labels that a review gave to cells nobody looked at one by one, `user_ids` who gave each label, 0
    where nobody is known. `removed` cells are no part of their slide any more. `frozen` are cells kept for the
    validation of a scanner, and all others of the same image.
    """

    cell_ids: Ids
    image_ids: Ids
    slide_ids: SmallIds
    scanner_ids: SmallIds
    class_ids: SmallIds
    user_ids: SmallIds
    unseen: npt.NDArray[np.bool_]
    removed: npt.NDArray[np.bool_]
    frozen: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cell_ids)

    def places(self, cell_ids: Sequence[int] | Ids) -> Ids:
        """Return the row of each cell id, -1 where there is no such cell."""
        wanted = np.asarray(cell_ids, np.int64)
        if not len(self):
            return np.full(len(wanted), -1, np.int64)
        place = np.minimum(np.searchsorted(self.cell_ids, wanted), len(self) - 1)
        return np.where(self.cell_ids[place] == wanted, place, -1)


_NOTHING = Columns(*(np.empty(0, np.int64),) * 2, *(np.empty(0, np.int32),) * 4, *(np.empty(0, bool),) * 3)


class CellIndex:
    """Keeps the columns of one project up to date."""

    def __init__(self, project_id: int) -> None:
        self.project_id = project_id
        self._columns = _NOTHING
        self._newest_annotation = self._newest_set = 0
        self._lock = threading.Lock()

    def refresh(self, session: Session) -> Columns:
        """Return the columns with new cells and annotations taken in. What was returned before stays as it is.

        They may know more than an older transaction of `session` does: another one may have brought them up to date.
        """
        with self._lock, way.holding_lock():
            # Asked for first: a label given between the two reads is then taken in again, never missed.
            mine = Annotation.project_id == self.project_id
            newest = session.scalar(select(func.max(Annotation.id)).where(mine)) or 0
            added = self._add_cells(session)
            self._freeze(session, again=added)
            if newest > self._newest_annotation:
                self._add_annotations(session)
                self._newest_annotation = newest
            return self._columns

    def _add_cells(self, session: Session) -> bool:
        newest = int(self._columns.cell_ids[-1]) if len(self._columns) else 0
        class_id, nothing = func.coalesce(Cell.class_id, 0), literal(0)
        query = (
            select(Cell.id, Cell.image_id, Cell.slide_id, Cell.scanner_id, class_id, nothing, nothing)
            .add_columns(Cell.removed, nothing)
            .where(Cell.project_id == self.project_id, Cell.id > newest)
            .order_by(Cell.id)
        )
        result = session.execute(query.execution_options(yield_per=FETCH))
        parts = [np.array([tuple(row) for row in part], np.int64) for part in result.partitions()]
        if parts:
            new = np.concatenate(parts)
            self._columns = Columns(
                *(
                    np.concatenate([old, new[:, i].astype(old.dtype)])
                    for i, field in enumerate(fields(Columns))
                    for old in [getattr(self._columns, field.name)]
                )
            )
        return bool(parts)

    def _freeze(self, session: Session, *, again: bool) -> None:
        """Take in validation sets; `again` when there are new cells, which may show an image of one."""
        mine = Adaptation.project_id == self.project_id
        newest = session.scalar(select(func.max(Adaptation.id)).where(mine)) or 0
        if newest > self._newest_set or (again and newest):
            sets = session.scalars(select(Adaptation.validation).where(mine)).all()
            places = self._columns.places(np.concatenate(sets))
            images = self._columns.image_ids[places[places >= 0]]
            self._columns = replace(self._columns, frozen=np.isin(self._columns.image_ids, images))
            self._newest_set = newest

    def _add_annotations(self, session: Session) -> None:
        changed = select(Annotation.cell_id).where(
            Annotation.project_id == self.project_id, Annotation.id > self._newest_annotation
        )
        query = (
            select(
                Cell.id,
                func.coalesce(Cell.class_id, 0),
                func.coalesce(Annotation.user_id, 0),
                func.coalesce(Annotation.source == "reviewed", False),
                Cell.removed,
            )
            .outerjoin(Annotation, Annotation.id == Cell.annotation_id)
            .where(Cell.id.in_(changed))
        )
        rows = np.array([tuple(row) for row in session.execute(query)], np.int64).reshape(-1, 5)
        places = self._columns.places(rows[:, 0])
        rows, places = rows[places >= 0], places[places >= 0]
        # Copies: somebody may be filtering by the old ones.
        changed_columns = {name: getattr(self._columns, name).copy() for name in CHANGING}
        for column, values in zip(changed_columns.values(), rows.T[1:], strict=True):
            column[places] = values
        self._columns = replace(self._columns, **changed_columns)


_indexes: dict[tuple[Any, int], CellIndex] = {}
_indexes_lock = threading.Lock()


def columns_of(session: Session, project_id: int) -> Columns:
    """Return the up-to-date columns of a project."""
    key = (session.get_bind().engine.url, project_id)
    with _indexes_lock:
        index = _indexes.setdefault(key, CellIndex(project_id))
    return index.refresh(session)
