"""Labels for more cells than a request should take, and taking them back."""

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from app.annotations import service
from app.annotations.forms import LabelItem
from app.annotations.service import Act
from app.annotations.undo import CHUNK, replay
from app.cells.index import columns_of
from app.db import reading
from app.models import Batch, Cell, CellClass, Project, User
from workers.runner import Task


def accept(task: Task) -> None:
    """Give the class of a review to its first cells but for exceptions and those labelled meanwhile."""
    with reading() as session:
        batch = session.get_one(Batch, task.arguments["batch_id"])
        cell_ids: npt.NDArray[np.int64] = batch.cell_ids[: task.arguments["stop"]]
        columns = columns_of(session, task.project_id)
        left_out = [task.arguments["exceptions"], columns.cell_ids[columns.removed]]
        cell_ids = cell_ids[~np.isin(cell_ids, np.concatenate(left_out))]
        code = session.get_one(CellClass, batch.class_id).code
    seconds = task.arguments.get("seconds")
    share = seconds / len(cell_ids) if seconds is not None and len(cell_ids) else None
    for start in range(0, len(cell_ids), CHUNK):
        items = [
            LabelItem(cell_id=cell_id, class_=code, if_class=None, seconds=share)
            for cell_id in cell_ids[start : start + CHUNK].tolist()
        ]
        _label(task, items, "reviewed")
        task.progress(min(start + CHUNK, len(cell_ids)), len(cell_ids))


def import_labels(task: Task) -> None:
    """Give the labels of a file; cells that have been removed or labelled since keep what they have."""
    labels, kept = task.arguments["labels"], {} if task.arguments["overwrite"] else {"if_class": None}
    for start in range(0, len(labels), CHUNK):
        some = dict(labels[start : start + CHUNK])
        with reading() as session:
            there = session.scalars(select(Cell.id).where(Cell.id.in_(some), ~Cell.removed)).all()
        items = [LabelItem(cell_id=cell_id, class_=some[cell_id], **kept) for cell_id in there]
        if items:
            _label(task, items, "import")
        task.progress(min(start + CHUNK, len(labels)), len(labels))


def undo(task: Task) -> None:
    """Take back what an action did, or do it again, except where somebody has labelled since."""
    last = 0
    while True:
        with task.transaction() as session:
            act = Act(
                project=session.get_one(Project, task.project_id),
                action=task.arguments["action"],
                source=task.arguments["how"],
                by=session.get_one(User, task.arguments["user_id"]),
            )
            last = replay(session, task.arguments["undone"], act, after=last).last
        if not last:
            return


def _label(task: Task, items: list[LabelItem], source: str) -> None:
    with task.transaction() as session:
        project = session.get_one(Project, task.project_id)
        user = session.get_one(User, task.arguments["user_id"])
        service.label(session, project, items, action=task.arguments["action"], source=source, by=user)
