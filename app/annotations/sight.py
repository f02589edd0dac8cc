"""What a person must not see yet, so that a class they give is their own judgement.

An unlabelled cell of the audit slice is kept out of everything that goes by predictions, and half of the slice does not
show its prediction. A label drawn for second reading is hidden from everybody but the one who gave it until they have
read the cell themselves or enough others have.
"""

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from app.annotations.queries import second_readings
from app.cells.index import Columns
from app.cells.sampling import drawn
from app.models import Project

MOST_NAMED = 1000

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


def audited(project: Project, columns: Columns, rows: Rows | None = None) -> Mask:
    """Return which cells (of all, or of some rows) wait for the audit: drawn for it and not labelled."""
    chosen = slice(None) if rows is None else rows
    cell_ids = columns.cell_ids[chosen]
    if not project.audit_share:
        return np.zeros(len(cell_ids), bool)
    mask: Mask = drawn(cell_ids, project.audit_share, "audit") & (columns.class_ids[chosen] == 0)
    mask &= ~columns.frozen[chosen] & ~columns.removed[chosen]
    return mask


def withheld(project: Project, columns: Columns) -> Mask:
    """Return which cells are kept out of what goes by predictions: unlabelled ones of audit and validation sets."""
    mask: Mask = audited(project, columns) | (columns.frozen & (columns.class_ids == 0))
    return mask


def blind(cell_ids: Rows) -> Mask:
    """Return which cells of an audit are labelled without their prediction; the others are for comparison."""
    return drawn(cell_ids, 0.5, "blind")


def awaiting(session: Session, project: Project, columns: Columns, user_id: int, rows: Rows | None = None) -> Mask:
    """Return which cells (of all, or of some rows) carry a label this person must not see before a second reading."""
    chosen = slice(None) if rows is None else rows
    cell_ids = columns.cell_ids[chosen]
    if not project.second_share:
        return np.zeros(len(cell_ids), bool)
    mask: Mask = drawn(cell_ids, project.second_share, "second")
    mask &= (columns.class_ids[chosen] > 0) & (columns.user_ids[chosen] != user_id)
    wanted = cell_ids[mask].tolist()
    readers = second_readings(session, project, wanted if len(wanted) <= MOST_NAMED else None)
    done = [cell for cell, read in readers.items() if user_id in read or len(read) + 1 >= project.readers]
    return mask & ~np.isin(cell_ids, np.array(done, np.int64))
